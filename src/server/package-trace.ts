/**
 * The tracing channel `qmtp:server:package` and the channel `qmtp:server:connection`, of node:diagnostics_channel. Nobody
 * pays for them but who listens.
 */
import { AsyncLocalStorage } from "node:async_hooks";
import { type Channel, channel, type TracingChannel, tracingChannel } from "node:diagnostics_channel";
import type { MessageInfo } from "../protocol/message-info.js";
import type { Peer } from "../protocol/peer.js";
import type { QmtpResponse } from "../protocol/response.js";
import type { PackageReport } from "./reports.js";

/** What the events of one package on `qmtp:server:package` share. */
export interface ServerPackageTrace {
	/** Whose package it is. */
	readonly peer: Peer;
	/** What is known of the message before its first byte; `id` is its name in logs and in its K. */
	readonly message: MessageInfo;
	/** Once it is answered: the sender, or null if it could not be read as an address. */
	sender?: string | null;
	/** Once it is answered: the recipients in the client's order; null for those that could not be read. */
	recipients?: readonly (string | null)[];
	/** Once it is answered: one for each recipient. */
	responses?: readonly QmtpResponse[];
	/** Once it is answered: bytes of body that were taken in. */
	bodyBytes?: number;
	/** What a hook or the queue threw, or why the package never became complete. */
	error?: Error;
}

/** What is published on `qmtp:server:connection`. */
export interface ServerConnectionMessage {
	/** Who has connected. */
	readonly peer: Peer;
}

/** Tells who has connected. */
export function publishConnection(peer: Peer): void {
	if (connections.hasSubscribers) connections.publish({ peer } satisfies ServerConnectionMessage);
}

/** One package on its way, in the context that the subscribers to `start` have made for it. */
export class PackageTrace {
	readonly #trace: ServerPackageTrace;
	readonly #run: <T>(step: () => T) => T;
	#ended = false;

	private constructor(trace: ServerPackageTrace) {
		this.#trace = trace;
		this.#run = packages.start.runStores(trace, () => AsyncLocalStorage.snapshot());
	}

	/** Null if nobody listens. */
	static start(peer: Peer, message: MessageInfo): PackageTrace | null {
		return packages.hasSubscribers ? new PackageTrace({ peer, message }) : null;
	}

	/** Takes the first step; hooks and the queue run in the context. */
	begin<T>(step: () => T): T {
		const result = this.#run(step);
		packages.end.publish(this.#trace);
		return result;
	}

	/** Takes a further step. */
	step<T>(step: () => T): T {
		return this.#run(step);
	}

	/** A hook or the queue has failed, or the package will never be complete. */
	failed(error: Error): void {
		if (this.#ended) return; // a commit that failed when its time was over already
		this.#trace.error = error;
		packages.error.publish(this.#trace);
	}

	/** The package has its responses; without a report it will never have any. */
	ended(report?: PackageReport): void {
		this.#ended = true;
		if (report !== undefined) {
			const { sender, recipients, responses, bodyBytes } = report;
			Object.assign(this.#trace, { sender, recipients, responses, bodyBytes });
		}
		this.#run(() => {
			packages.asyncStart.publish(this.#trace);
			packages.asyncEnd.publish(this.#trace);
		});
	}
}

const packages: TracingChannel<unknown, ServerPackageTrace> = tracingChannel("qmtp:server:package");
const connections: Channel = channel("qmtp:server:connection");

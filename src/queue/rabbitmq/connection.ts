/**
 * A connection to one of the nodes, made again when it breaks: with the next node, after pauses that double until it has
 * been up for some time, and are drawn by lot, so that many processes do not come back together.
 */
import type { ConnectionOptions } from "node:tls";
import type { ChannelModel } from "amqplib";
import { QueueError, UsageError } from "../../errors.js";
import { brokerError, textOf } from "./fault.js";
import { Link } from "./link.js";
import { type BrokerAddress, shownAddress } from "./url.js";

/** How it is made. */
export interface ConnectionSettings {
	/** The nodes, tried in turn. At least one. */
	readonly addresses: readonly BrokerAddress[];
	/** What the broker shows of it. */
	readonly name: string;
	readonly tls: ConnectionOptions;
	/** Told of each loss, and of each round over the nodes that failed and that `start` did not wait for. */
	readonly onFault: (error: Error) => void;
	/** The first and the longest pause between rounds, in ms, for tests. @defaultValue [500, 30000] */
	readonly pauses?: readonly [first: number, longest: number];
}

/** A connection that is made again. */
export class Connection {
	readonly #settings: ConnectionSettings;
	readonly #begin: (model: ChannelModel) => Promise<void>;
	readonly #closing = new AbortController();
	readonly #waiting = new Set<(model: ChannelModel | null) => void>();
	readonly #onLost = new Set<(error: Error) => void>();
	#link: Link | null = null;
	#round: Promise<void> | null = null;
	#pause: NodeJS.Timeout | null = null;
	#rounds = 0; // that failed, since it was up for some time
	#upAt = 0;
	#next = 0; // of the addresses
	#fault: Error | null = null;
	#told: Error | null = null; // of the last round, with host and reason

	/** @param begin - Sets up what each new connection needs; only then it counts as up. */
	constructor(settings: ConnectionSettings, begin: (model: ChannelModel) => Promise<void>) {
		this.#settings = settings;
		this.#begin = begin;
	}

	/** The connection; null while it is down. */
	get model(): ChannelModel | null {
		return this.#link?.model ?? null;
	}

	/** Why it is down, as far as that is known. */
	get fault(): Error | null {
		return this.#fault;
	}

	/**
	 * Makes it, if it is down; resolves when it is up. When a round over all nodes failed it rejects with a QueueError,
	 * `permanent` if trying again cannot help; it goes on trying all the same, until it is closed. With a UsageError
	 * `ERR_QMTP_PACKAGE` if amqplib is not installed.
	 */
	async start(): Promise<void> {
		if (this.#link !== null) return;
		this.#round ??= this.#tryAll();
		await this.#round;
	}

	/** Waits until it is up. Null if `signal` was aborted, or this was closed. It does not begin anything: see start. */
	async whenUp(signal: AbortSignal): Promise<ChannelModel | null> {
		if (signal.aborted || this.#closing.signal.aborted) return null;
		if (this.#link !== null) return this.#link.model;
		return await new Promise((resolve) => {
			const end = (model: ChannelModel | null) => {
				this.#waiting.delete(end);
				signal.removeEventListener("abort", abort);
				resolve(model);
			};
			const abort = () => end(null);
			this.#waiting.add(end);
			signal.addEventListener("abort", abort);
		});
	}

	/** Tells of each loss, except by close. @returns What ends that. */
	onLost(listener: (error: Error) => void): () => void {
		this.#onLost.add(listener);
		return () => this.#onLost.delete(listener);
	}

	/** Ends it, gently if it is up. */
	async close(): Promise<void> {
		this.#closing.abort();
		if (this.#pause !== null) clearTimeout(this.#pause);
		for (const end of [...this.#waiting]) end(null);
		await this.#round?.catch(() => {});
		const link = this.#link;
		this.#link = null;
		await link?.close();
	}

	/** One round over all nodes. */
	async #tryAll(): Promise<void> {
		if (this.#pause !== null) clearTimeout(this.#pause);
		const { addresses, name, tls } = this.#settings;
		const { signal } = this.#closing;
		const faults: unknown[] = [];
		try {
			while (faults.length < addresses.length && !signal.aborted) {
				const address = addresses[this.#next] as BrokerAddress;
				this.#next = (this.#next + 1) % addresses.length;
				try {
					this.#up(await Link.open(address, { name, tls, begin: this.#begin, signal }), address);
					return;
				} catch (error) {
					if (error instanceof UsageError) {
						this.#fault = error;
						throw error; // without the package no round can do better
					}
					faults.push(faultOf(error, address));
					this.#told = toldFault(error, address);
					if (error instanceof QueueError) break; // it is what is expected of the broker, and the same on all nodes
				}
			}
			if (signal.aborted) throw brokerError("closing");
			const fault = faultOfRound(faults);
			this.#fault = fault;
			if (faults.every((one) => !(one instanceof QueueError))) this.#told = fault.cause as Error;
			this.#tryLater();
			throw fault;
		} finally {
			this.#round = null;
		}
	}

	#up(link: Link, address: BrokerAddress): void {
		this.#link = link;
		this.#upAt = performance.now();
		this.#fault = null;
		link.onEnd((error) =>
			this.#down(link, new Error(`${shownAddress(address)}: connection lost: ${textOf(error)}`)),
		);
		for (const end of [...this.#waiting]) end(link.model);
	}

	#down(link: Link, fault: Error): void {
		if (this.#link !== link) return;
		this.#link = null;
		this.#fault = fault;
		if (performance.now() - this.#upAt >= STEADY_MS) this.#rounds = 0;
		this.#tryLater();
		this.#settings.onFault(fault);
		for (const listener of [...this.#onLost]) listener(fault);
	}

	#tryLater(): void {
		if (this.#closing.signal.aborted) return;
		const [first, longest] = this.#settings.pauses ?? PAUSES_MS;
		const pause = Math.min(longest, first * 2 ** this.#rounds);
		this.#rounds++;
		this.#pause = setTimeout(
			() => {
				this.#round ??= this.#tryAll();
				this.#round.catch((error) => {
					if (!this.#closing.signal.aborted) this.#settings.onFault(this.#told ?? error);
				});
			},
			pause * (0.5 + Math.random() / 2),
		);
	}
}

function faultOf(error: unknown, address: BrokerAddress): unknown {
	if (error instanceof QueueError) return error;
	return new Error(`${shownAddress(address)}: ${textOf(error)}`, { cause: error });
}

/** For who runs this: what a QueueError says itself is for the senders of mail. */
function toldFault(error: unknown, address: BrokerAddress): Error {
	const cause = error instanceof QueueError ? (error.cause ?? error) : error;
	return new Error(`${shownAddress(address)}: ${textOf(cause)}`, { cause: error });
}

function faultOfRound(faults: readonly unknown[]): QueueError {
	const last = faults.at(-1);
	if (last instanceof QueueError) return last;
	const cause = faults.length === 1 ? last : new Error(faults.map(textOf).join("; "), { cause: last });
	return brokerError("notConnected", cause);
}

const PAUSES_MS: readonly [number, number] = [500, 30_000];
// A broker that lets everybody in and drops them again is not helped by being called twice a second.
const STEADY_MS = 30_000;

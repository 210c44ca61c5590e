/** A queue for tests of the server: it writes down each call, and does what the test tells it to. */

import type { Envelope } from "../../src/protocol/envelope.js";
import type { MessageInfo } from "../../src/protocol/message-info.js";
import { accepted, type QmtpResponse } from "../../src/protocol/response.js";
import type { Delivery, Queue } from "../../src/queue/queue.js";
import { concat, copyOf, textOf } from "./bytes.js";
import { Gate, Signal } from "./server-signal.js";

/** What a call does instead of the usual. */
export interface QueuePlan {
	lines?: "lf" | "as-sent";
	open?(info: MessageInfo, usual: () => TestDelivery): unknown;
	write?(bytes: Uint8Array, delivery: TestDelivery): unknown;
	commit?(envelope: Envelope, delivery: TestDelivery): unknown;
	abort?(reason: Error, delivery: TestDelivery): unknown;
	/** Commits wait until the test calls `release()` or `fail()` of their delivery. */
	hold?: boolean;
}

/** The queue. */
export class TestQueue implements Queue {
	readonly lines: "lf" | "as-sent";
	readonly plan: QueuePlan;
	readonly deliveries: TestDelivery[] = [];
	/** The deliveries whose commit was called, in that order. */
	readonly commits: TestDelivery[] = [];
	/** The names of the calls, in their order: "open", "write", "commit", "abort". */
	readonly calls: string[] = [];
	/** Tells of each call. */
	readonly changes = new Signal();
	readonly #counts = new Map<string, number>();

	constructor(plan: QueuePlan = {}) {
		this.plan = plan;
		this.lines = plan.lines ?? "lf";
	}

	open(info: MessageInfo): Delivery | Promise<Delivery> {
		const usual = () => {
			const delivery = new TestDelivery(info, this);
			this.deliveries.push(delivery);
			return delivery;
		};
		this.note("open");
		const { plan } = this;
		return plan.open === undefined ? usual() : (plan.open(info, usual) as Delivery);
	}

	/** Resolves when `name` was called at least `count` times. */
	called(name: string, count = 1): Promise<void> {
		return this.changes.until(() => this.count(name) >= count);
	}

	count(name: string): number {
		return this.#counts.get(name) ?? 0;
	}

	/** Lets all commits that wait go on. */
	release(): void {
		for (const delivery of this.commits) delivery.release();
	}

	note(call: string): void {
		this.calls.push(call);
		this.#counts.set(call, this.count(call) + 1);
		// Not within the call: the test goes on when the server has done with it.
		queueMicrotask(() => this.changes.notify());
	}
}

/** One message on its way. */
export class TestDelivery implements Delivery {
	readonly info: MessageInfo;
	envelope: Envelope | null = null;
	/** The reasons of all calls of `abort`. */
	readonly aborts: Error[] = [];
	readonly #queue: TestQueue;
	readonly #parts: Uint8Array[] = [];
	readonly #gate = new Gate<readonly QmtpResponse[]>();

	constructor(info: MessageInfo, queue: TestQueue) {
		this.info = info;
		this.#queue = queue;
	}

	/** What was written so far. */
	get text(): string {
		return textOf(concat(this.#parts));
	}

	/** Ends a commit that is held: K for all recipients, or these responses. */
	release(responses?: readonly QmtpResponse[]): void {
		this.#gate.open(responses ?? (this.envelope as Envelope).recipients.map(() => accepted()));
	}

	/** Ends a commit that is held with an error. */
	fail(error: unknown): void {
		this.#gate.fail(error);
	}

	write(bytes: Uint8Array): void | Promise<void> {
		this.#queue.note("write");
		this.#parts.push(copyOf(bytes));
		return this.#queue.plan.write?.(bytes, this) as void | Promise<void>;
	}

	commit(envelope: Envelope): Promise<readonly QmtpResponse[]> {
		this.envelope = envelope;
		this.#queue.commits.push(this);
		this.#queue.note("commit");
		const { plan } = this.#queue;
		if (plan.commit !== undefined) return plan.commit(envelope, this) as Promise<readonly QmtpResponse[]>;
		if (plan.hold !== true) this.release();
		return this.#gate.promise;
	}

	abort(reason: Error): Promise<void> {
		this.aborts.push(reason);
		this.#queue.note("abort");
		const { plan } = this.#queue;
		if (plan.abort === undefined) return Promise.resolve();
		return plan.abort(reason, this) as Promise<void>;
	}
}

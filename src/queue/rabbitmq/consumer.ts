/**
 * Has messages come in for as long as some are wanted: over one channel, opened again when it breaks or when the broker
 * ends it, after the queues were declared again if that may be why.
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { ChannelModel } from "amqplib";
import type { Connection } from "./connection.js";
import { textOf } from "./fault.js";
import { Inbound, type InboundSettings, type Tap } from "./inbound.js";

/** What comes in, and over what. */
export interface ConsumerSettings extends InboundSettings {
	readonly connection: Connection;
	/** Declares the queues, which somebody may have deleted. */
	readonly declare: (model: ChannelModel) => Promise<void>;
	/** All messages that were here are here no longer. */
	readonly onLost: () => void;
	readonly onFault: (error: Error) => void;
}

/** The consumer of a queue. */
export class Consumer {
	readonly #settings: ConsumerSettings;
	readonly #closing = new AbortController();
	readonly #taps = new Set<Tap>(); // that want something
	#inbound: Inbound | null = null;
	#running: Promise<void> | null = null;

	constructor(settings: ConsumerSettings) {
		this.#settings = settings;
	}

	/** What a tap wants is another number than before. */
	changed(tap: Tap): void {
		if (this.#closing.signal.aborted) return;
		if (tap.wanted > 0) this.#taps.add(tap);
		else this.#taps.delete(tap);
		this.#inbound?.changed(tap);
		if (this.#taps.size > 0) this.#running ??= this.#run();
	}

	/** True when what comes is no more than what is wanted. */
	get isSteady(): boolean {
		return this.#inbound?.isAdjusting !== true;
	}

	/** Waits until it is; not for long. */
	async steady(): Promise<void> {
		await Promise.race([this.#inbound?.adjusted(), sleep(CLOSE_MS, undefined, { ref: false })]);
	}

	/** Ends it. What is here comes again. */
	async close(): Promise<void> {
		this.#closing.abort();
		this.#taps.clear();
		this.#inbound?.close();
		await Promise.race([this.#running, sleep(CLOSE_MS, undefined, { ref: false })]);
	}

	async #run(): Promise<void> {
		const { connection, declare, onFault } = this.#settings;
		const { signal } = this.#closing;
		connection.start().catch(() => {}); // it goes on trying, and tells
		let failures = 0;
		while (this.#taps.size > 0) {
			const model = await connection.whenUp(signal);
			if (model === null) break;
			if (this.#taps.size === 0) continue;
			let fault: Error | null;
			try {
				if (failures > 0) await declare(model);
				fault = await this.#consume(model);
				if (this.#inbound?.isUsed === true) failures = 0;
			} catch (error) {
				fault = error as Error;
			}
			this.#inbound = null;
			this.#settings.onLost();
			if (fault === null || signal.aborted) continue;
			failures++;
			if (connection.model !== model) continue; // that is told by the connection
			onFault(new Error(`messages do not come in: ${textOf(fault)}`, { cause: fault }));
			if (failures > 1) await this.#pause(failures - 1);
		}
		this.#running = null;
	}

	/** @returns Why it has ended; null if it was not wanted any more. */
	async #consume(model: ChannelModel): Promise<Error | null> {
		const inbound = await Inbound.open(model, this.#settings);
		this.#inbound = inbound;
		for (const tap of this.#taps) inbound.changed(tap);
		if (this.#closing.signal.aborted) inbound.close();
		return await inbound.ended;
	}

	async #pause(failures: number): Promise<void> {
		const ms = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** (failures - 1)) * (0.5 + Math.random() / 2);
		await sleep(ms, undefined, { signal: this.#closing.signal, ref: false }).catch(() => {});
	}
}

const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 30_000;
const CLOSE_MS = 5000;

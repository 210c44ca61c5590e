/**
 * Publishes, and knows of each publish what became of it. It has a connection of its own: a broker that is short of memory
 * or disk stops reading from connections that publish, and whoever consumes must be able to go on.
 *
 * Nothing is kept for later: what cannot be published now fails at once, and what was under way when the connection broke
 * is not published again, since nobody knows whether it is stored. Whoever waits tries again, or their client does.
 *
 * What is under way is bounded by whoever publishes: a server by its `heldBytes`, a source by its concurrency. It counts
 * once there and is here twice: amqplib copies it, up to 16 MiB for each queue (see confirms.ts). What has got its answer
 * is not kept, except in those.
 */
import { randomUUID } from "node:crypto";
import type { ChannelModel } from "amqplib";
import { QueueError } from "../../errors.js";
import { Confirms } from "./confirms.js";
import { Connection, type ConnectionSettings } from "./connection.js";
import type { Declare } from "./declaration.js";
import { brokerError, messageTooLarge, queueError, textOf } from "./fault.js";
import type { MessageProperties } from "./message.js";

/** One message to publish. */
export interface Publication {
	/** The queue. */
	readonly queue: string;
	/** Nobody changes it until the publish has come to its end. */
	readonly body: Buffer;
	readonly properties: MessageProperties;
}

/** How it is published. */
export interface PublisherSettings {
	readonly connection: ConnectionSettings;
	/** Declares the queues, on each new connection. */
	readonly declare: Declare;
	/** For each publish, from its beginning to its confirm, in ms. */
	readonly confirmTimeout: number;
	/** After how many publishes a channel is replaced, for tests. @defaultValue 100000 */
	readonly publishesPerChannel?: number;
}

/** What publishes. */
export class Publisher {
	readonly #settings: PublisherSettings;
	readonly #connection: Connection;
	#channels = new Map<string, Confirms>(); // by queue
	#opening = new Map<string, Promise<Confirms>>();
	#blocked: string | null = null; // why the broker takes nothing
	#fault: Error | null = null; // of the connection
	#largest = Number.POSITIVE_INFINITY;
	readonly #name = randomUUID(); // no two copies of a message may have one mark, whoever published them
	#marks = 0;
	#underWay = 0;
	#closing: Promise<void> | null = null;
	#healing: Promise<void> | null = null;
	#toldAt = Number.NEGATIVE_INFINITY; // that a publish came back
	#onIdle: (() => void) | null = null;

	constructor(settings: PublisherSettings) {
		this.#settings = settings;
		this.#connection = new Connection(settings.connection, (model) => this.#begin(model));
	}

	/** Why nothing can be published now; null if it can. */
	get problem(): QueueError | null {
		if (this.#closing !== null) return brokerError("closing");
		if (this.#connection.model === null)
			return brokerError("notConnected", this.#connection.fault ?? undefined);
		if (this.#blocked !== null)
			return brokerError("blocked", new Error(`connection blocked: ${this.#blocked}`));
		return null;
	}

	/** The largest message that the broker takes, in bytes, as far as it has told. */
	get largestBody(): number {
		return this.#largest;
	}

	/** Connects. See {@link Connection.start}. */
	async start(): Promise<void> {
		if (this.#closing !== null) throw brokerError("closing");
		await this.#connection.start();
	}

	/**
	 * Resolves when the broker has confirmed it. Rejects with a QueueError, which says so if it may be stored all the same;
	 * it is `permanent` if the broker does not take messages of that size.
	 */
	async publish({ queue, body, properties }: Publication): Promise<void> {
		const { problem } = this;
		if (problem !== null) throw problem;
		if (body.length > this.#largest) throw messageTooLarge();
		const deadline = performance.now() + this.#settings.confirmTimeout;
		this.#underWay++;
		try {
			let channel = this.#channels.get(queue);
			if (channel === undefined || channel.closed) channel = await this.#opened(queue);
			else if (channel.isWorn) this.#replace(queue);
			this.#marks++;
			await channel.publish(`${this.#name} ${this.#marks}`, { body, properties }, deadline);
		} finally {
			this.#underWay--;
			if (this.#underWay === 0) this.#onIdle?.();
		}
	}

	/** Waits until all that is under way has come to its end, and ends the connection. */
	async close(): Promise<void> {
		this.#closing ??= this.#close();
		await this.#closing;
	}

	async #close(): Promise<void> {
		if (this.#underWay > 0) {
			await new Promise<void>((resolve) => {
				this.#onIdle = resolve;
			});
		}
		await this.#connection.close();
	}

	async #begin(model: ChannelModel): Promise<void> {
		this.#channels = new Map();
		this.#opening = new Map();
		this.#healing = null;
		this.#toldAt = Number.NEGATIVE_INFINITY;
		this.#blocked = null;
		this.#fault = null;
		this.#largest = Number.POSITIVE_INFINITY; // it may have been restarted with another bound
		model.on("error", (error) => {
			this.#fault = error;
		});
		model.on("blocked", (reason) => {
			this.#blocked = reason;
		});
		model.on("unblocked", () => {
			this.#blocked = null;
		});
		await this.#settings.declare(model);
	}

	/** The channel for a queue, opened if need be. */
	async #opened(queue: string): Promise<Confirms> {
		const opening = this.#opening.get(queue) ?? this.#open(queue);
		let deadline: NodeJS.Timeout | undefined;
		const late = new Promise<never>((_, reject) => {
			deadline = setTimeout(() => reject(brokerError("notSent")), this.#settings.confirmTimeout);
		});
		try {
			return await Promise.race([opening, late]);
		} catch (error) {
			throw queueError(error, "notSent");
		} finally {
			clearTimeout(deadline);
		}
	}

	/** Lets another channel take over when it is open, and the old one come to its end. */
	#replace(queue: string): void {
		if (!this.#opening.has(queue)) this.#open(queue).catch(() => {}); // the next publish tries again
	}

	#open(queue: string): Promise<Confirms> {
		const opening = this.#openNow(queue);
		const all = this.#opening; // of this connection
		all.set(queue, opening);
		const end = () => all.delete(queue);
		opening.then(end, end);
		return opening;
	}

	async #openNow(queue: string): Promise<Confirms> {
		const { model } = this.#connection;
		if (model === null) throw brokerError("notConnected");
		const channels = this.#channels; // of this connection
		const { confirmTimeout: timeout, publishesPerChannel: publishes = PUBLISHES_PER_CHANNEL } =
			this.#settings;
		const confirms = new Confirms(await model.createConfirmChannel(), {
			queue,
			timeout,
			publishes,
			fault: () => this.#fault,
			onLargest: (bytes) => {
				this.#largest = bytes;
			},
			onReturned: () => this.#heal(model, queue),
		});
		channels.get(queue)?.retire();
		channels.set(queue, confirms);
		return confirms;
	}

	/** Somebody has deleted the queue. Declares all again, one round at a time, over the connection that has noticed. */
	#heal(model: ChannelModel, queue: string): void {
		if (this.#healing !== null || this.#connection.model !== model) return;
		const isTold = performance.now() - this.#toldAt >= TOLD_MS;
		if (isTold) {
			this.#toldAt = performance.now();
			this.#tell(`the broker has no queue ${queue} any more: it is declared again`);
		}
		const healing = this.#settings.declare(model).catch((error) => {
			const cause = error instanceof QueueError ? (error.cause ?? error) : error;
			if (isTold) this.#tell(`the queues could not be declared again: ${textOf(cause)}`, error);
		});
		this.#healing = healing;
		healing.then(() => {
			if (this.#healing === healing) this.#healing = null;
		});
	}

	#tell(message: string, cause?: unknown): void {
		this.#settings.connection.onFault(new Error(message, { cause }));
	}
}

const PUBLISHES_PER_CHANNEL = 100_000;
const TOLD_MS = 60_000;

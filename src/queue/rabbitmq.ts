/**
 * The subpath `qmtp/queue/rabbitmq`: a queue that keeps mail in RabbitMQ until it is delivered, and the source that hands
 * it out again, on any number of machines. It needs the package amqplib.
 *
 * A message is one QMTP package, in one AMQP message. docs/rabbitmq.md has the queues that it goes through.
 */
import type { ConnectionOptions } from "node:tls";
import { QueueError } from "../errors.js";
import type { MessageInfo } from "../protocol/message-info.js";
import { onlyOptions, wholeNumberOption } from "../protocol/options.js";
import type { Delivery, Queue } from "./queue.js";
import { Connection } from "./rabbitmq/connection.js";
import { declaring } from "./rabbitmq/declaration.js";
import { type DeliveryPlace, RabbitmqDelivery } from "./rabbitmq/delivery.js";
import { brokerError, messageTooLarge } from "./rabbitmq/fault.js";
import { Jobs } from "./rabbitmq/jobs.js";
import { Publisher } from "./rabbitmq/publisher.js";
import { type RabbitmqTopologyQueue, topologyNames, topologyQueues } from "./rabbitmq/topology.js";
import { brokerAddresses } from "./rabbitmq/url.js";
import type { Job, Source, TakeOptions } from "./source.js";

export type { Delivery, Queue } from "./queue.js";
export type { RabbitmqTopologyQueue } from "./rabbitmq/topology.js";
export type { Job, Source, TakeOptions } from "./source.js";

/** Options of {@link rabbitmqQueue}. */
export interface RabbitmqQueueOptions {
	/**
	 * Where the broker is: `amqp://USER:PASSWORD@HOST:PORT/VHOST`, or `amqps:` for TLS. User and password are percent
	 * encoded, and guest when there is no `@`; the port is 5672, or 5671 for TLS; the vhost is `/` when it is left out. The
	 * nodes of a cluster, which are tried in turn, are several URLs, or several hosts in one: `amqp://USER:PASSWORD@A,B:5673`.
	 */
	readonly url: string | readonly string[];
	/**
	 * The name of the main queue, up to 100 letters, digits, dots, `_` and `-`. The names of the others begin with it.
	 * @defaultValue "qmtp"
	 */
	readonly queue?: string;
	/**
	 * The largest body, in bytes. A larger message gets D (#5.3.4). The whole package must not be larger than the broker's
	 * `max_message_size` either, which is 16 MiB by default since RabbitMQ 4.0.
	 * @defaultValue 16777216 (16 MiB)
	 */
	readonly maxBytesPerMessage?: number;
	/**
	 * The most recipients of one message. Those beyond them get Z (#4.5.3).
	 * @defaultValue 10000
	 */
	readonly maxRecipients?: number;
	/**
	 * How often the broker hands out a message again that nobody has settled, before it is parked: attempts that end with a
	 * response do not count, those that end with their process do.
	 * @defaultValue 20
	 */
	readonly deliveryLimit?: number;
	/**
	 * How long to wait for the broker's confirm of a message, in ms, and for the first connection. Then it gets Z (#4.3.0),
	 * though it may be stored.
	 * @defaultValue 30000
	 */
	readonly confirmTimeout?: number;
	/**
	 * Is told of what is in nobody's answer: a connection was lost or could not be made again, a message was parked, the
	 * broker took the consumer away. Errors name hosts and queues, and never hold the password.
	 */
	readonly onFault?: (error: Error) => void;
	/** For `amqps:`: `ca`, `cert`, `key`, and so on, of Node's `tls.connect`. */
	readonly tls?: ConnectionOptions;
	/**
	 * The clock, in ms since 1970, for tests.
	 * @internal
	 */
	readonly now?: () => number;
	/**
	 * How long messages wait in the queues for that, in ms, for tests.
	 * @internal
	 */
	readonly retryTtls?: readonly number[];
	/**
	 * The first and the longest pause before a connection is made again, in ms, for tests.
	 * @internal
	 */
	readonly pauses?: readonly [first: number, longest: number];
	/**
	 * After how many publishes their channel is replaced, for tests.
	 * @internal
	 */
	readonly publishesPerChannel?: number;
	/**
	 * How long a message lies in the buffer while nobody draws from it, in ms, for tests.
	 * @internal
	 */
	readonly idle?: number;
	/**
	 * How long a settle that failed may be called again, in ms, for tests.
	 * @internal
	 */
	readonly patience?: number;
	/**
	 * How many bytes of messages are here before no more are asked for, for tests.
	 * @internal
	 */
	readonly heldBytes?: number;
}

/** Options of {@link rabbitmqTopology}. */
export interface RabbitmqTopologyOptions {
	/** As in {@link RabbitmqQueueOptions.queue}. */
	readonly queue?: string;
	/** As in {@link RabbitmqQueueOptions.deliveryLimit}. */
	readonly deliveryLimit?: number;
}

/** A queue that keeps mail in RabbitMQ, and the source that hands it out. */
export interface RabbitmqQueue extends Queue, Source {
	/**
	 * Connects, and declares the queues. It rejects with a `QueueError` whose `cause` says which host and why; it is
	 * `permanent` if a queue exists with other arguments. With a UsageError `ERR_QMTP_PACKAGE` if the package amqplib is not
	 * installed.
	 *
	 * After a `QueueError` it goes on trying in the background, so a server may be started all the same.
	 */
	prepare(): Promise<void>;
	/**
	 * Hands out messages. See {@link Source.take}. They come in the order in which they were stored, unless they came back.
	 *
	 * When the connection is lost it does not throw: it tells `onFault`, waits for the next and goes on. It throws only if
	 * there was no connection to begin with.
	 *
	 * A `settle` that has resolved is final, but for this: AMQP does not confirm that a message was taken out, so one whose
	 * connection breaks in that moment may be handed out once more, by another process.
	 */
	take(options?: TakeOptions): AsyncIterableIterator<Job>;
	/**
	 * Ends `take`, and ends the connections when what is under way is stored or has failed. Deliveries and jobs must have
	 * ended: a job that was not settled comes again.
	 */
	close(): Promise<void>;
}

/**
 * A queue that keeps messages in RabbitMQ until they are delivered.
 *
 * K is said when the broker has confirmed the message, which for the quorum queues that this declares is when a majority
 * of the nodes has it on disk. What is not confirmed within `confirmTimeout`, or before its connection breaks, gets Z
 * though it may be stored: so the client sends it again, and it may arrive twice. Nothing is published a second time by
 * this queue, and nothing is kept for later: while there is no connection, or the broker is out of memory or disk, each
 * message gets its Z at once. The connection is made again in the background.
 *
 * A message is in memory as a whole until it is confirmed.
 *
 * Responses: K `ok <seconds since 1970> qp <id>`. Z (#4.3.1) when the queue is full or the broker has no room, Z (#4.3.0)
 * when it cannot be reached or did not confirm, Z (#4.5.3), D (#5.3.4), D (#5.1.3) and D (#5.1.7) by the limits.
 *
 * @throws UsageError `ERR_QMTP_OPTION` if an option has no meaning. It never tells any part of the URL.
 */
export function rabbitmqQueue(options: RabbitmqQueueOptions): RabbitmqQueue {
	return new Rabbitmq(options);
}

/**
 * The queues that {@link rabbitmqQueue} declares, in that order. Needs neither a broker nor the package amqplib.
 *
 * @throws UsageError `ERR_QMTP_OPTION` if an option has no meaning.
 */
export function rabbitmqTopology(options: RabbitmqTopologyOptions = {}): readonly RabbitmqTopologyQueue[] {
	onlyOptions(options, ["queue", "deliveryLimit"]);
	return topologyQueues(topologyNames(options.queue), options.deliveryLimit);
}

/** Connects, declares the queues, and ends the connection. It rejects as {@link RabbitmqQueue.prepare}. */
export async function declareRabbitmqTopology(options: RabbitmqQueueOptions): Promise<void> {
	const queue = new Rabbitmq(options);
	try {
		await queue.prepare();
	} finally {
		await queue.close();
	}
}

class Rabbitmq implements RabbitmqQueue {
	readonly #place: DeliveryPlace;
	readonly #publisher: Publisher;
	readonly #consuming: Connection;
	readonly #jobs: Jobs;
	#first: Promise<void> | null = null; // the first attempt to connect
	#begun = false; // that has come to its end
	#closing: Promise<void> | null = null;
	readonly #timeout: number;

	constructor(options: RabbitmqQueueOptions) {
		onlyOptions(options, OPTIONS);
		const { tls = {}, now = Date.now, pauses, publishesPerChannel, idle, patience, heldBytes } = options;
		const { maxBytesPerMessage = DEFAULT_MAX_BYTES, maxRecipients = DEFAULT_MAX_RECIPIENTS } = options;
		const { confirmTimeout = DEFAULT_CONFIRM_MS, onFault: tell } = options;
		const names = topologyNames(options.queue, options.retryTtls);
		const queues = topologyQueues(names, options.deliveryLimit);
		const declare = declaring(queues);
		// Not from within amqplib's events: what it throws would be taken for the connection's fault.
		const onFault = (error: Error) => queueMicrotask(() => tell?.(error));
		const connection = { addresses: brokerAddresses(options.url), tls, onFault, ...given({ pauses }) };
		this.#timeout = wholeNumberOption("confirmTimeout", confirmTimeout, 1, LONGEST_TIMER);
		this.#publisher = new Publisher({
			connection: { ...connection, name: `qmtp ${names.main}, publishing` },
			declare,
			confirmTimeout: this.#timeout,
			...given({ publishesPerChannel }),
		});
		this.#consuming = new Connection({ ...connection, name: `qmtp ${names.main}, consuming` }, declare);
		const maxBytes = wholeNumberOption("maxBytesPerMessage", maxBytesPerMessage, 1, LARGEST_BODY);
		this.#place = {
			publisher: this.#publisher,
			queue: names.main,
			maxBytesPerMessage: maxBytes,
			maxRecipients: wholeNumberOption("maxRecipients", maxRecipients, 1),
			now,
		};
		this.#jobs = new Jobs({
			...{ connection: this.#consuming, publisher: this.#publisher, names, declare, maxBytes, now, onFault },
			...given({ idle, patience, heldBytes }),
		});
	}

	async prepare(): Promise<void> {
		if (this.#begun) return await this.#publisher.start();
		this.#first ??= this.#publisher.start().finally(() => {
			this.#begun = true;
		});
		await this.#first;
	}

	open(message: MessageInfo): Delivery | Promise<Delivery> {
		if (this.#closing !== null) throw brokerError("closing");
		const { id, length, exact } = message;
		if (!ID.test(id)) throw new QueueError("ERR_QMTP_QUEUE", "message id cannot be stored (#5.3.0)");
		const largest = Math.min(this.#place.maxBytesPerMessage, this.#publisher.largestBody);
		if (length !== undefined && exact && length > largest) throw messageTooLarge();
		if (!this.#begun) return this.#openSlowly(message);
		const { problem } = this.#publisher;
		if (problem !== null) throw problem;
		return new RabbitmqDelivery(this.#place, message);
	}

	async *take(options: TakeOptions = {}): AsyncIterableIterator<Job> {
		const concurrency = wholeNumberOption(
			"concurrency",
			options.concurrency ?? DEFAULT_CONCURRENCY,
			1,
			MOST_PREFETCHED,
		);
		if (this.#closing !== null) throw brokerError("closing");
		if (!this.#begun) await this.prepare();
		yield* this.#jobs.take(options, concurrency);
	}

	async close(): Promise<void> {
		this.#closing ??= this.#close();
		await this.#closing;
	}

	async #close(): Promise<void> {
		await this.#jobs.close();
		await this.#publisher.close();
		await this.#consuming.close();
	}

	async #openSlowly(message: MessageInfo): Promise<Delivery> {
		let timer: NodeJS.Timeout | undefined;
		const late = new Promise<void>((resolve) => {
			timer = setTimeout(resolve, this.#timeout);
		});
		try {
			await Promise.race([this.prepare(), late]);
		} finally {
			clearTimeout(timer);
		}
		this.#begun = true; // whoever comes when the first attempt has ended, or took too long, does not wait for another
		return await this.open(message);
	}
}

/** Those that were given. */
function given<T extends object>(options: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
	return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as never;
}

const OPTIONS = [
	"url",
	"queue",
	"maxBytesPerMessage",
	"maxRecipients",
	"deliveryLimit",
	"confirmTimeout",
	"onFault",
	"tls",
	"now",
	"retryTtls",
	"pauses",
	"publishesPerChannel",
	"idle",
	"patience",
	"heldBytes",
];
const ID = /^\d{1,100}$/; // as servers make them
const DEFAULT_MAX_BYTES = 16 * 1024 ** 2;
const DEFAULT_MAX_RECIPIENTS = 10_000;
const DEFAULT_CONFIRM_MS = 30_000;
const DEFAULT_CONCURRENCY = 20;
const LONGEST_TIMER = 2 ** 31 - 1;
const LARGEST_BODY = 512 * 1024 ** 2; // what a broker can be told to take
const MOST_PREFETCHED = 65_535; // a number of two bytes, of which 0 would mean no bound

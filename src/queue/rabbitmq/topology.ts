/**
 * The queues that one mail queue is made of: the main one; one for each length of time that a message may have to wait,
 * whose messages go back to the main one when they expire; and one for messages that nobody can deliver.
 *
 * All are quorum queues. A dead letter is kept until its new queue has confirmed it (`at-least-once`), which the broker
 * does only with `reject-publish`: without it, it would fall back to `at-most-once` and not say so.
 */
import { UsageError } from "../../errors.js";
import { wholeNumberOption } from "../../protocol/options.js";

/** One queue of the broker, as it is declared. */
export interface RabbitmqTopologyQueue {
	/** Its name. It is published to by the default exchange. */
	readonly name: string;
	/** It outlives a restart of the broker. */
	readonly durable: true;
	/** The arguments of its declaration. */
	readonly arguments: Readonly<Record<string, string | number>>;
}

/** The names of the queues. */
export interface TopologyNames {
	readonly main: string;
	readonly parked: string;
	/** Those in which messages wait, the shortest wait first. */
	readonly retries: readonly RetryQueue[];
}

/** A queue in which messages wait. */
export interface RetryQueue {
	readonly name: string;
	/** How long, in ms. */
	readonly ttl: number;
}

/** The names that belong to the main queue `queue`. @throws UsageError `ERR_QMTP_OPTION` if it is no name. */
export function topologyNames(
	queue: string = DEFAULT_QUEUE,
	ttls: readonly number[] = RETRY_TTLS,
): TopologyNames {
	if (typeof queue !== "string" || !NAME.test(queue)) {
		throw new UsageError("ERR_QMTP_OPTION", "queue must be 1 to 100 letters, digits, dots, _ or -");
	}
	const sorted = [...ttls].sort((a, b) => a - b);
	const retries = sorted.map((ttl) => ({ name: `${queue}.retry.${duration(ttl)}`, ttl }));
	return { main: queue, parked: `${queue}.parked`, retries };
}

/**
 * The declarations, in their order: a queue whose dead letters had nowhere to go would hold them for minutes.
 *
 * @throws UsageError `ERR_QMTP_OPTION` if `deliveryLimit` is none.
 */
export function topologyQueues(
	{ main, parked, retries }: TopologyNames,
	deliveryLimit: number = DEFAULT_DELIVERY_LIMIT,
): readonly RabbitmqTopologyQueue[] {
	const limit = wholeNumberOption("deliveryLimit", deliveryLimit, 1, LARGEST_DELIVERY_LIMIT);
	return [
		// Said by the queue itself, so that no policy and no default of the broker drops what is in it.
		quorumQueue(parked, { "x-overflow": "reject-publish", "x-delivery-limit": NO_DELIVERY_LIMIT }),
		quorumQueue(main, { "x-delivery-limit": limit, ...deadLettersTo(parked) }),
		...retries.map(({ name, ttl }) => quorumQueue(name, { "x-message-ttl": ttl, ...deadLettersTo(main) })),
	];
}

function quorumQueue(name: string, args: Readonly<Record<string, string | number>>): RabbitmqTopologyQueue {
	return { name, durable: true, arguments: { "x-queue-type": "quorum", ...args } };
}

function deadLettersTo(queue: string): Readonly<Record<string, string>> {
	return {
		"x-dead-letter-exchange": "", // the default one, which routes by the name of the queue
		"x-dead-letter-routing-key": queue,
		"x-dead-letter-strategy": "at-least-once",
		"x-overflow": "reject-publish",
	};
}

function duration(ms: number): string {
	if (ms % HOUR === 0) return `${ms / HOUR}h`;
	if (ms % MINUTE === 0) return `${ms / MINUTE}m`;
	return `${ms}ms`;
}

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const NAME = /^[\w.-]{1,100}$/;
const DEFAULT_QUEUE = "qmtp";
const DEFAULT_DELIVERY_LIMIT = 20;
const LARGEST_DELIVERY_LIMIT = 1_000_000;
// RabbitMQ 4.0 has 20 by default, and a queue without dead letters drops what is beyond. None has no word before 4.0.
const NO_DELIVERY_LIMIT = 2_000_000_000;

/** How long messages wait, in ms. */
export const RETRY_TTLS: readonly number[] = [MINUTE, 5 * MINUTE, 30 * MINUTE, 2 * HOUR, 6 * HOUR];

/** Queues by the names that they have on the command line. */
import { QueueError } from "../errors.js";
import type { AddressEncoding } from "../protocol/envelope.js";
import type { Queue } from "../queue/queue.js";
import { BROKER_SYNTAX, brokerUrl, withoutSecrets } from "./broker-url.js";
import { WrongUse } from "./command.js";

/** What `--queue` may say. */
export const QUEUE_SYNTAX: string = `maildir:PATH | spool:DIR | ${BROKER_SYNTAX} | qmail:DIR | qmtp://HOST:PORT | smtp://HOST:PORT | memory: | discard:`;

/** Those of them that a relay can take mail out of. */
export const KEEPING_SYNTAX: string = `spool:DIR or ${BROKER_SYNTAX}`;

/** A queue that was asked for by name. */
export interface NamedQueue {
	/** What was asked for, as it was written, without a password. */
	readonly name: string;
	readonly queue: Queue;
	/** How the queue wants addresses. */
	readonly addressEncoding: AddressEncoding;
}

/**
 * The queue that `name` names.
 *
 * @param option - Where it was named, for errors.
 * @param onFault - Told of what is nobody's answer.
 * @throws WrongUse.
 */
export async function namedQueue(
	name: string,
	option = "queue",
	onFault: (error: Error) => void = () => {},
): Promise<NamedQueue> {
	const kind = kindOf(name);
	const make = Object.hasOwn(QUEUES, kind) ? QUEUES[kind] : undefined;
	if (make === undefined)
		throw new WrongUse(`--${option} must be ${QUEUE_SYNTAX}, not '${withoutSecrets(name)}'`);
	const addressEncoding = BYTEWISE.includes(kind) ? "latin1" : "utf-8";
	return { name, addressEncoding, ...(await make(name.slice(kind.length + 1), { option, onFault })) };
}

/** Whether what `name` names is a source too, that a relay can take mail out of. */
export function keepsMail(name: string): boolean {
	return KEEPING.includes(kindOf(name));
}

/** Makes it ready to take mail. @throws An error that says why it cannot be used; then it is closed. */
export async function prepareQueue({ name, queue }: NamedQueue): Promise<void> {
	try {
		await queue.prepare?.();
	} catch (error) {
		await queue.close?.(); // one that goes on trying would keep the process
		// What a client is told has no paths in it; who starts the program is to see them.
		const { cause } = error as Error;
		const told = error instanceof QueueError ? (cause ?? error) : error;
		throw new Error(`cannot use ${name}: ${(told as Error).message}`, { cause: error });
	}
}

/** Where the name stands, and who is told of faults. */
interface Asking {
	readonly option: string;
	readonly onFault: (error: Error) => void;
}

type MakeQueue = (rest: string, asking: Asking) => Promise<Pick<NamedQueue, "queue"> & Partial<NamedQueue>>;

// Each is loaded when it is asked for: some queues need packages that not everybody has.
const QUEUES: Readonly<Record<string, MakeQueue>> = {
	maildir: async (path, { option }) => {
		somethingMore(option, "maildir:PATH", path);
		const { maildirQueue } = await import("../queue/maildir.js");
		return { queue: maildirQueue({ path }) };
	},
	spool: async (path, { option }) => {
		somethingMore(option, "spool:DIR", path);
		const { spoolQueue } = await import("../queue/spool.js");
		return { queue: spoolQueue({ path }) };
	},
	amqp: (rest, asking) => broker(`amqp:${rest}`, asking),
	amqps: (rest, asking) => broker(`amqps:${rest}`, asking),
	qmail: async (home, { option }) => {
		somethingMore(option, "qmail:DIR", home);
		const { qmailQueue } = await import("../queue/qmail-queue.js");
		return { queue: qmailQueue({ home }) };
	},
	qmtp: (rest, asking) => nextHop(`qmtp:${rest}`, asking),
	smtp: (rest, asking) => nextHop(`smtp:${rest}`, asking),
	memory: async (rest, { option }) => {
		nothingMore(option, "memory:", rest);
		const { memoryQueue } = await import("../queue/memory.js");
		return { queue: memoryQueue() };
	},
	discard: async (rest, { option }) => {
		nothingMore(option, "discard:", rest);
		const { discardQueue } = await import("../queue/discard.js");
		return { queue: discardQueue() };
	},
};

// These take addresses as they come, byte for byte.
const BYTEWISE = ["qmail", "qmtp"];

// These are sources too.
const KEEPING = ["spool", "amqp", "amqps"];

function kindOf(name: string): string {
	return name.slice(0, Math.max(name.indexOf(":"), 0));
}

async function broker(url: string, { option, onFault }: Asking): ReturnType<MakeQueue> {
	const { name, options } = await brokerUrl(url, option);
	const { rabbitmqQueue } = await import("../queue/rabbitmq.js");
	return { name, queue: rabbitmqQueue({ ...options, onFault }) };
}

async function nextHop(url: string, { option }: Asking): ReturnType<MakeQueue> {
	const { forwardQueue } = await import("../queue/forward.js");
	try {
		return { queue: forwardQueue({ url }) };
	} catch (error) {
		throw new WrongUse(`--${option} ${url}: ${(error as Error).message}`);
	}
}

function somethingMore(option: string, name: string, rest: string): void {
	if (rest === "") throw new WrongUse(`--${option} ${name} needs a path`);
}

function nothingMore(option: string, name: string, rest: string): void {
	if (rest !== "") throw new WrongUse(`--${option} ${name} takes nothing behind the colon, not '${rest}'`);
}

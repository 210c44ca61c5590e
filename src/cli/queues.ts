/** Queues by the names that they have on the command line. */
import { QueueError } from "../errors.js";
import type { AddressEncoding } from "../protocol/envelope.js";
import type { Queue } from "../queue/queue.js";
import { WrongUse } from "./command.js";

/** What `--queue` may say. */
export const QUEUE_SYNTAX: string =
	"maildir:PATH | spool:DIR | qmail:DIR | qmtp://HOST:PORT | smtp://HOST:PORT | memory: | discard:";

/** A queue that was asked for by name. */
export interface NamedQueue {
	/** What was asked for, as it was written. */
	readonly name: string;
	readonly queue: Queue;
	/** How the queue wants addresses. */
	readonly addressEncoding: AddressEncoding;
}

/** The queue that `name` names. @param option - Where it was named, for errors. @throws WrongUse. */
export async function namedQueue(name: string, option = "queue"): Promise<NamedQueue> {
	const colon = name.indexOf(":");
	const kind = name.slice(0, Math.max(colon, 0));
	const make = Object.hasOwn(QUEUES, kind) ? QUEUES[kind] : undefined;
	if (make === undefined) throw new WrongUse(`--${option} must be ${QUEUE_SYNTAX}, not '${name}'`);
	const queue = await make(name.slice(colon + 1), option);
	return { name, queue, addressEncoding: BYTEWISE.includes(kind) ? "latin1" : "utf-8" };
}

/** Makes it ready to take mail. @throws An error that says why it cannot be used. */
export async function prepareQueue({ name, queue }: NamedQueue): Promise<void> {
	try {
		await queue.prepare?.();
	} catch (error) {
		// What a client is told has no paths in it; who starts the program is to see them.
		const { cause } = error as Error;
		const told = error instanceof QueueError ? (cause ?? error) : error;
		throw new Error(`cannot use ${name}: ${(told as Error).message}`, { cause: error });
	}
}

// Each is loaded when it is asked for: some queues need packages that not everybody has.
const QUEUES: Readonly<Record<string, (rest: string, option: string) => Promise<Queue>>> = {
	maildir: async (path, option) => {
		somethingMore(option, "maildir:PATH", path);
		const { maildirQueue } = await import("../queue/maildir.js");
		return maildirQueue({ path });
	},
	spool: async (path, option) => {
		somethingMore(option, "spool:DIR", path);
		const { spoolQueue } = await import("../queue/spool.js");
		return spoolQueue({ path });
	},
	qmail: async (home, option) => {
		somethingMore(option, "qmail:DIR", home);
		const { qmailQueue } = await import("../queue/qmail-queue.js");
		return qmailQueue({ home });
	},
	qmtp: (rest, option) => nextHop(option, `qmtp:${rest}`),
	smtp: (rest, option) => nextHop(option, `smtp:${rest}`),
	memory: async (rest, option) => {
		nothingMore(option, "memory:", rest);
		const { memoryQueue } = await import("../queue/memory.js");
		return memoryQueue();
	},
	discard: async (rest, option) => {
		nothingMore(option, "discard:", rest);
		const { discardQueue } = await import("../queue/discard.js");
		return discardQueue();
	},
};

// These take addresses as they come, byte for byte.
const BYTEWISE = ["qmail", "qmtp"];

async function nextHop(option: string, url: string): Promise<Queue> {
	const { forwardQueue } = await import("../queue/forward.js");
	try {
		return forwardQueue({ url });
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

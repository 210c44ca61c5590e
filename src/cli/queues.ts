/** Queues by the names that they have on the command line. */
import type { Queue } from "../queue/queue.js";
import { WrongUse } from "./command.js";

/** What `--queue` may say. */
export const QUEUE_SYNTAX: string = "maildir:PATH | memory: | discard:";

/** The queue that `text` names, ready to take mail. @throws WrongUse; an error that says why it cannot be used. */
export async function openQueue(text: string): Promise<Queue> {
	const colon = text.indexOf(":");
	const kind = text.slice(0, Math.max(colon, 0));
	const rest = text.slice(colon + 1);
	const open = colon === -1 ? undefined : QUEUES[kind];
	if (open === undefined) throw new WrongUse(`--queue must be ${QUEUE_SYNTAX}, not '${text}'`);
	const queue = await open(rest);
	try {
		await queue.prepare?.();
	} catch (error) {
		// What a client is told has no paths in it; who starts the program is to see them.
		const { cause } = error as Error;
		throw new Error(`cannot use ${text}: ${((cause ?? error) as Error).message}`, { cause: error });
	}
	return queue;
}

// Each is loaded when it is asked for: some queues need packages that not everybody has.
const QUEUES: Readonly<Record<string, (rest: string) => Promise<Queue>>> = {
	maildir: async (path) => {
		if (path === "") throw new WrongUse("--queue maildir:PATH needs a path");
		const { maildirQueue } = await import("../queue/maildir.js");
		return maildirQueue({ path });
	},
	memory: async (rest) => {
		nothingMore("memory:", rest);
		const { memoryQueue } = await import("../queue/memory.js");
		return memoryQueue();
	},
	discard: async (rest) => {
		nothingMore("discard:", rest);
		const { discardQueue } = await import("../queue/discard.js");
		return discardQueue();
	},
};

function nothingMore(name: string, rest: string): void {
	if (rest !== "") throw new WrongUse(`--queue ${name} takes nothing behind the colon, not '${rest}'`);
}

/** `qmtp spool`: looks after the mail in a spool. It may run while servers and relays use the same. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { QueueError } from "../errors.js";
import type { SpoolChange, SpooledMessage, SpoolQueue } from "../queue/spool.js";
import { type Arguments, type Command, DONE, PERMANENT, TEMPORARY, WrongUse } from "./command.js";
import { printablePart } from "./printable.js";

export const spool: Command = {
	name: "spool",
	summary: "Shows and changes what is in a spool.",
	operands: "ls | show ID | retry ID ... | rm ID ... | stats",
	options: {
		path: { value: "DIR", required: true, help: "the spool, as in serve --queue spool:DIR" },
		message: { help: "show: write the message itself, and nothing else" },
		package: { help: "show: write it as one QMTP package, as it is stored, and nothing else" },
	},
	notes: [
		"ls writes a line for each message, the next to be delivered first. retry makes messages due now, rm removes them and",
		"tells nobody; IDs are those of the K that the client got. Exits 100 if there is no such message, 111 if somebody is",
		"at it now: try again later.",
	],
	run: runSpool,
};

async function runSpool(args: Arguments): Promise<number> {
	const [name = "", ...ids] = args.operands;
	const task = Object.hasOwn(TASKS, name) ? TASKS[name] : undefined;
	if (task === undefined)
		throw new WrongUse(name === "" ? "say what to do" : `there is nothing called '${name}'`);
	if (ids.length < task.least) throw new WrongUse(`${name} needs an ID`);
	if (ids.length > task.most) throw new WrongUse(`unexpected argument '${ids[task.most]}'`);
	const path = args.one("path") as string;
	// Else it would be made.
	if (!existsSync(join(path, "spool.mdb"))) throw new Error(`there is no spool in ${path}`);
	const { spoolQueue } = await import("../queue/spool.js");
	const queue = spoolQueue({ path });
	try {
		return await task.run(queue, ids, args);
	} catch (error) {
		const { cause } = error as Error;
		throw error instanceof QueueError && cause instanceof Error ? cause : error; // who looks is to see paths
	} finally {
		await queue.close();
	}
}

interface Task {
	/** IDs. */
	readonly least: number;
	readonly most: number;
	/** @returns The exit code. */
	run(queue: SpoolQueue, ids: readonly string[], args: Arguments): Promise<number>;
}

const TASKS: Readonly<Record<string, Task>> = {
	ls: { least: 0, most: 0, run: list },
	show: { least: 1, most: 1, run: show },
	retry: { least: 1, most: Number.POSITIVE_INFINITY, run: changeEach((queue, id) => queue.retry(id)) },
	rm: { least: 1, most: Number.POSITIVE_INFINITY, run: changeEach((queue, id) => queue.remove(id)) },
	stats: { least: 0, most: 0, run: stats },
};

async function list(queue: SpoolQueue): Promise<number> {
	for await (const message of queue.list()) {
		const { id, damage, size, attempts, sender, recipients } = message;
		if (damage !== undefined) {
			await write(`${id} damaged: ${damage}\n`);
			continue;
		}
		const to = recipients.map((recipient) => ` to=<${printablePart(recipient)}>`).join("");
		const times = `queued=${time(message.queuedAt)} attempts=${attempts} next=${next(message)}`;
		await write(`${id} ${times} size=${size} from=<${printablePart(sender)}>${to}\n`);
	}
	return DONE;
}

async function show(queue: SpoolQueue, [id = ""]: readonly string[], args: Arguments): Promise<number> {
	const message = await queue.find(id);
	if (message === undefined) return complain(id, "gone");
	if (message.damage !== undefined) throw new Error(`${id} is damaged: ${message.damage}`);
	const raw = args.all("package").length > 0 ? message.package : message.body;
	if (args.all("package").length + args.all("message").length > 0) {
		for await (const bytes of raw) await write(bytes);
		return DONE;
	}
	const lines = [
		`id ${message.id}`,
		`queued ${time(message.queuedAt)}`,
		`size ${message.size}`,
		`attempts ${message.attempts}`,
		`next ${next(message)}`,
		`from <${printablePart(message.sender)}>`,
		...message.recipients.map((recipient) => `to <${printablePart(recipient)}>`),
		...message.finished.map((recipient) => `finished <${printablePart(recipient)}>`),
	];
	await write(`${lines.join("\n")}\n`);
	return DONE;
}

function changeEach(change: (queue: SpoolQueue, id: string) => Promise<SpoolChange>): Task["run"] {
	return async (queue, ids) => {
		const codes: number[] = [];
		for (const id of ids) codes.push(complain(id, await change(queue, id)));
		return Math.max(...codes);
	};
}

async function stats(queue: SpoolQueue): Promise<number> {
	const { messages, due, bytes } = await queue.stats();
	await write(`messages ${messages}\ndue ${due}\nbytes ${bytes}\n`);
	return DONE;
}

/** Says on standard error why a message was left alone. @returns The exit code. */
function complain(id: string, change: SpoolChange): number {
	if (change === "done") return DONE;
	const problem = change === "gone" ? "there is no such message" : "somebody is at it now";
	process.stderr.write(`qmtp spool: ${printablePart(id)}: ${problem}\n`);
	return change === "gone" ? PERMANENT : TEMPORARY;
}

function next({ taken, nextAttempt }: SpooledMessage): string {
	if (taken) return "taken";
	return nextAttempt <= Date.now() ? "now" : time(nextAttempt);
}

function time(ms: number): string {
	return new Date(ms).toISOString();
}

/** Writes, and waits while the reader is slower than we are. */
async function write(data: string | Uint8Array): Promise<void> {
	const { stdout } = process;
	if (stdout.destroyed || stdout.write(data)) return;
	await new Promise<void>((resolve) => {
		const done = () => {
			stdout.off("drain", done).off("close", done);
			resolve();
		};
		stdout.on("drain", done).on("close", done);
	});
}

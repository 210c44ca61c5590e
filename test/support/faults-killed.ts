/** Servers over a maildir as processes, to be killed, and what they leave. */
import { once } from "node:events";
import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { onTestFinished } from "vitest";
import { copiesAt } from "./faults-mails.js";
import { type Running, start } from "./program.js";

/** A `qmtp serve` that listens. */
export interface Listening extends Running {
	readonly port: number;
}

/** Starts one; it has looked after its maildir when this resolves. @param port - 0 for any that is free. */
export async function listen(queue: string, port = 0): Promise<Listening> {
	const running = start(["serve", "--port", String(port), "--queue", queue]);
	onTestFinished(() => kill(running)); // if the test has not come to that
	const [, found = ""] = await running.until("stdout", /^listening on 127\.0\.0\.1:(\d+)\n/);
	return Object.assign(running, { port: Number(found) });
}

/** kill -9. Resolves when it has ended; what it has started may hold its output for longer. */
export async function kill({ child }: Running): Promise<void> {
	if (child.exitCode !== null || child.signalCode !== null) return;
	const exit = once(child, "exit");
	child.kill("SIGKILL");
	await exit;
}

/**
 * Takes the mail out of a maildir, and says what copies there were.
 *
 * @throws Error if one is not whole, or is there twice.
 */
export async function takeAll(maildir: string): Promise<Set<string>> {
	const names = await readdir(join(maildir, "new"));
	const copies = await copiesAt(maildir, names);
	const set = new Set(copies);
	const twice = copies.filter((copy, index) => copies.indexOf(copy) !== index);
	if (twice.length > 0) throw new Error(`there twice: ${twice}`);
	for (const name of names) await rm(join(maildir, "new", name));
	return set;
}

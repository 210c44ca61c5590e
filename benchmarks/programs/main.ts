/**
 * Messages of 1 KiB into a program that stands in the place of qmail-queue and only reads, 10 at a time. Beside it, in the
 * same run, the bare loop: a process, the message and the envelope into its pipes, and its exit code. What starting a
 * process costs is nearly all of it; the ratio tells what the queue adds.
 *
 * What it defends against:
 * - Work that is left out: every answer must be a K, and every process must have ended with 0.
 * - A program that does not read: the queue would see the envelope unread and answer Z.
 * - JIT warm-up: a round that is not counted comes first.
 * - A noisy, shared machine: the two run in turns, and the ratio is the median of the ratios within a round.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import type { Socket } from "node:net";
import { join } from "node:path";
import type { MessageInfo } from "qmtp";
import { qmailQueue } from "qmtp/queue/qmail-queue";
import { messageBody } from "../fixtures/packages.js";
import { temporaryFolder } from "../folder.js";
import { benchmarkOptions } from "../options.js";
import { figure, printTable, printTitle, spread } from "../report.js";
import { record } from "../results.js";
import { inTurns, ratio, samplesOf, type Variant } from "../rounds.js";

const BODY = messageBody(1024);
const MESSAGES = 300;
const AT_ONCE = 10;
const ENVELOPE = { sender: "sender@example.org", recipients: ["recipient@example.com"] };
const ENVELOPE_BYTES = Buffer.from(`F${ENVELOPE.sender}\0T${ENVELOPE.recipients[0]}\0\0`);
const INFO: MessageInfo = {
	id: "0",
	peer: { remoteAddress: "127.0.0.1", remotePort: 1, localAddress: "127.0.0.1", localPort: 209 },
	access: {},
	encoding: "lf",
	length: BODY.length,
	exact: true,
	addressEncoding: "latin1",
};
// With builtins only: it starts nothing itself.
const READER = "#!/bin/sh\nwhile read -r line; do :; done\nwhile read -r line <&1; do :; done\n";

const { rounds } = benchmarkOptions({ rounds: 5 });
const home = temporaryFolder();
const program = join(home, "reader");
writeFileSync(program, READER, { mode: 0o755 });
printTitle(`programs: messages of ${BODY.length} B, ${AT_ONCE} in flight`, rounds);
const QUEUE = "qmailQueue";
const BARE = "bare spawn";
const samples = await inTurns([variant(BARE, bare), variant(QUEUE, queued)], rounds);
const rows = [["", "messages/s", "ratio to bare"]];
for (const name of [BARE, QUEUE]) {
	const perSecond = samplesOf(samples, name);
	rows.push([name, spread(perSecond), figure(ratio(samples, name, BARE))]);
	record({ benchmark: "programs", name, unit: "messages/s", samples: perSecond, better: "higher" });
}
printTable(rows);

/** Measures messages a second. */
function variant(name: string, run: () => Promise<void>): Variant {
	return {
		name,
		async run() {
			const started = performance.now();
			await run();
			return MESSAGES / ((performance.now() - started) / 1000);
		},
	};
}

async function bare(): Promise<void> {
	await forEachMessage(async () => {
		const child = spawn(program, {
			cwd: home,
			detached: true,
			stdio: ["pipe", "pipe", "inherit", "ignore", "ignore", "ignore", "pipe"],
		}) as ChildProcess;
		const [message, envelope, , , , , text] = child.stdio as unknown as Socket[];
		envelope?.resume();
		text?.resume();
		message?.end(BODY, () => envelope?.end(ENVELOPE_BYTES));
		const [code] = await once(child, "close");
		if (code !== 0) throw new Error(`the program ended with ${code}`);
	});
}

async function queued(): Promise<void> {
	const queue = qmailQueue({ command: program, home });
	await forEachMessage(async () => {
		const delivery = await queue.open(INFO);
		await delivery.write(BODY);
		const [response] = await delivery.commit(ENVELOPE);
		if (response?.status !== "K") throw new Error(`the answer is no K: ${JSON.stringify(response)}`);
	});
	await queue.close?.();
}

async function forEachMessage(handle: () => Promise<void>): Promise<void> {
	let left = MESSAGES;
	const work = async () => {
		while (left-- > 0) await handle();
	};
	await Promise.all(Array.from({ length: AT_ONCE }, work));
}

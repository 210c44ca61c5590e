/**
 * Messages of 1 KiB into a Maildir, 100 at a time, each durable before its K. Beside it, in the same run, the bare loop:
 * open, write, fsync, close, rename, and fsync of the directory, at the same concurrency. The Maildir may be faster, since
 * messages that arrive together share the fsync of the directory.
 *
 * What it defends against:
 * - Work that is left out: every answer must be a K; afterwards the files are counted, and each must be as large as its
 *   message at least. What fsync is worth is the machine's: where a disk only says that it has stored something, both
 *   are fast.
 * - Bytes that nobody touched: the system copies all of them, in both ways.
 * - JIT warm-up: a round that is not counted comes first.
 * - Directories that grow: each measurement has a new one, made and removed while nobody measures.
 * - A noisy, shared machine: the two run in turns, and the ratio is the median of the ratios within a round.
 */
import { readdirSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import type { MessageInfo, Queue } from "qmtp";
import { maildirQueue } from "qmtp/queue/maildir";
import { messageBody } from "../fixtures/packages.js";
import { temporaryFolder } from "../folder.js";
import { benchmarkOptions } from "../options.js";
import { figure, printTable, printTitle, spread } from "../report.js";
import { record } from "../results.js";
import { inTurns, ratio, ratios, samplesOf, type Variant } from "../rounds.js";
import { holdTo } from "../target.js";
import { BareStore } from "./bare.js";

const BODY = messageBody(1024);
const MESSAGES = 2000;
const AT_ONCE = 100;

const ENVELOPE = { sender: "sender@example.org", recipients: ["recipient@example.com"] };
const INFO: MessageInfo = {
	id: "0",
	peer: { remoteAddress: "127.0.0.1", remotePort: 0, localAddress: "127.0.0.1", localPort: 0 },
	access: {},
	encoding: "lf",
	length: BODY.length,
	exact: true,
	addressEncoding: "utf-8",
};

const MAILDIR = "maildirQueue";
const BARE = "bare loop";

const { rounds } = benchmarkOptions({ rounds: 5 });
const folder = temporaryFolder();
printTitle(`queues: messages of ${BODY.length} B, ${AT_ONCE} in flight`, rounds);
const samples = await inTurns([variant(BARE, bare), variant(MAILDIR, maildir)], rounds);
const rows = [["", "messages/s", "ratio to bare"]];
for (const name of [BARE, MAILDIR]) {
	const perSecond = samplesOf(samples, name);
	rows.push([name, spread(perSecond), figure(ratio(samples, name, BARE))]);
	record({ benchmark: "queues", name, unit: "messages/s", samples: perSecond, better: "higher" });
}
printTable(rows);
console.log();
holdTo({
	benchmark: "queues",
	name: `maildirQueue to the bare loop, ${AT_ONCE} in flight`,
	samples: ratios(samples, MAILDIR, BARE),
	atLeast: 0.8,
});

/** Measures messages a second. */
function variant(name: string, run: (path: string) => Promise<void>): Variant {
	return {
		name,
		async run() {
			const path = join(folder, "store");
			const started = performance.now();
			await run(path);
			const seconds = (performance.now() - started) / 1000;
			checkFiles(join(path, "new"));
			rmSync(path, { recursive: true });
			return MESSAGES / seconds;
		},
	};
}

async function bare(path: string): Promise<void> {
	const store = new BareStore(path);
	await forEachMessage((number) => store.store(`${number}`, BODY));
	await store.close();
}

async function maildir(path: string): Promise<void> {
	const queue = maildirQueue({ path });
	await forEachMessage((number) => deliver(queue, number));
	await queue.close();
}

async function deliver(queue: Queue, number: number): Promise<void> {
	const delivery = await queue.open({ ...INFO, id: `${number}` });
	await delivery.write(BODY);
	const [response] = await delivery.commit(ENVELOPE);
	if (response?.status !== "K") throw new Error(`the answer is no K: ${JSON.stringify(response)}`);
}

async function forEachMessage(store: (number: number) => Promise<void>): Promise<void> {
	let next = 0;
	const work = async () => {
		while (next < MESSAGES) await store(next++);
	};
	await Promise.all(Array.from({ length: AT_ONCE }, work));
}

function checkFiles(directory: string): void {
	const names = readdirSync(directory);
	const small = names.filter((name) => statSync(join(directory, name)).size < BODY.length);
	if (names.length === MESSAGES && small.length === 0) return;
	throw new Error(`${names.length} files for ${MESSAGES} messages, ${small.length} of them too small`);
}

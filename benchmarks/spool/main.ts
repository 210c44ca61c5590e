/**
 * Messages of 1 KiB, pipelined over one connection on the loopback interface, into a server over a spool: each is on the
 * disk before its K. Beside it, in the same run, a bare LMDB loop with as many values waiting for their sync as the server
 * has messages in commit, and no network. Then a spool with a million messages: how fast it opens, what memory it takes, and
 * how fast it takes mail in, beside an empty one.
 *
 * What it defends against:
 * - Work that is left out: the client reads every answer, each must be a K, and the spool must have as many messages in the
 *   end. LMDB calls fdatasync before a K in both; what that is worth is the machine's.
 * - JIT warm-up: a round that is not counted comes first.
 * - Files that grow: both databases grow by the same messages in each round.
 * - A noisy, shared machine: the two run in turns, and the ratio is the median of the ratios within a round.
 * - Memory that is not ours: of the process with a million messages it is the anonymous memory that counts (RssAnon); pages
 *   of the database are the system's, which has them back when it wants.
 */
import { join } from "node:path";
import { Child } from "../child.js";
import { repeated, smallPackage } from "../fixtures/packages.js";
import { temporaryFolder } from "../folder.js";
import { sendPrebuilt } from "../loopback/clients.js";
import { benchmarkOptions } from "../options.js";
import { figure, printTable, printTitle, spread } from "../report.js";
import { record, recordTarget } from "../results.js";
import { inTurns, median, samplesOf } from "../rounds.js";
import { measureMillion } from "./million.js";

const BODY_BYTES = 1024;
const PACKAGES_IN_CHUNK = 64;
const CHUNKS = 16;
const MESSAGES = 64 * 1024; // of one measurement; bare.ts has it too
const AT_ONCE = 1000; // the server's default for messages in commit
const TARGET_PER_SECOND = 60_000;
const TARGET_RATIO = 0.4;
const BENCHMARK = "spool";

const SPOOL = "server and spool";
const BARE = "bare LMDB loop";

const { rounds } = benchmarkOptions({ rounds: 5 });
const folder = temporaryFolder();
const package_ = smallPackage(BODY_BYTES);
const chunks = Array.from({ length: CHUNKS }, () => repeated(package_, PACKAGES_IN_CHUNK));

printTitle(`spool: messages of ${BODY_BYTES} B, ${AT_ONCE} in commit, each synced before its K`, rounds);
const server = new Child(new URL("./server.js", import.meta.url), [join(folder, "spool")]);
const bare = new Child(new URL("./bare.js", import.meta.url), [
	join(folder, "bare.mdb"),
	String(package_.length),
	String(AT_ONCE),
]);
const port = await server.ask<number>("port");
const samples = await inTurns(
	[
		{ name: BARE, run: async () => MESSAGES / (await bare.ask<number>("seconds")) },
		{ name: SPOOL, run: intoSpool },
	],
	rounds,
);
const stored = await server.ask<number>("messages");
if (stored !== MESSAGES * (rounds + 1)) throw new Error(`${stored} messages are in the spool`);
await server.stop();
await bare.stop();

const perSecond = samplesOf(samples, SPOOL);
const bareRate = samplesOf(samples, BARE);
const shares = perSecond.map((rate, round) => rate / (bareRate[round] as number));
printTable([
	["", "messages/s", "ratio to bare"],
	[BARE, spread(bareRate), figure(1)],
	[SPOOL, spread(perSecond), spread(shares)],
]);
for (const [name, values] of samples) {
	record({ benchmark: BENCHMARK, name, unit: "messages/s", samples: values, better: "higher" });
}
const isMet = median(perSecond) >= TARGET_PER_SECOND || median(shares) >= TARGET_RATIO;
console.log(
	`\n  target: ${figure(TARGET_PER_SECOND)} messages/s, or ${TARGET_RATIO} of the bare loop: ${verdict(isMet)}`,
);
recordTarget({
	benchmark: BENCHMARK,
	name: "into a spool, to the bare loop",
	value: median(shares),
	samples: shares,
	atLeast: TARGET_RATIO,
	met: isMet,
	note: `${figure(median(perSecond))} messages/s; ${figure(TARGET_PER_SECOND)} would do as well`,
});

await measureMillion(join(folder, "million"), join(folder, "empty"), BENCHMARK);

async function intoSpool(): Promise<number> {
	const started = performance.now();
	const answers = await sendPrebuilt(port, chunks, MESSAGES / PACKAGES_IN_CHUNK);
	const seconds = (performance.now() - started) / 1000;
	if (answers !== MESSAGES) throw new Error(`${answers} answers to ${MESSAGES} messages`);
	return MESSAGES / seconds;
}

function verdict(met: boolean): string {
	return met ? "met" : "MISSED";
}

/**
 * Messages of 1 KiB out of a spool to a next hop that discards them; and messages of 100 KB the whole way, from a client
 * into a server over a spool, and by a relay in the same process to the next hop. Beside that, in the same run, a bare LMDB
 * loop with values as large, and no network.
 *
 * What it defends against:
 * - Work that is left out: a message counts when its removal is synced to the disk. The next hop must have had all bytes of
 *   all bodies, and the spool must be empty in the end.
 * - JIT warm-up: a round that is not counted comes first.
 * - Files that grow: both databases are empty before each round, and have the room of the ones before.
 * - A noisy, shared machine: the loop and the server run in turns, and the ratio is that of one round.
 */
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { Child } from "../child.js";
import { smallPackage } from "../fixtures/packages.js";
import { temporaryFolder } from "../folder.js";
import { sendPrebuilt } from "../loopback/clients.js";
import { benchmarkOptions } from "../options.js";
import { figure, printTable, printTitle, spread } from "../report.js";
import { record } from "../results.js";
import { inTurns, median, ratios, samplesOf } from "../rounds.js";
import { holdTo } from "../target.js";

const SMALL_BYTES = 1024;
const SMALL_MESSAGES = 32 * 1024;
const LARGE_BYTES = 100_000;
const LARGE_MESSAGES = 2000;
const AT_ONCE = 100; // in the bare loop: 10 MB
const BENCHMARK = "relay";

const OUT = "out of a spool, 1 KiB";
const THROUGH = "server, spool, relay, 100 KB";
const BARE = "bare LMDB loop, 100 KB";

const { rounds } = benchmarkOptions({ rounds: 5 });
const folder = temporaryFolder();
const large = smallPackage(LARGE_BYTES);

printTitle("relay: out of a spool to a next hop that discards", rounds);
const sink = new Child(new URL("./sink.js", import.meta.url), []);
const relay = new Child(new URL("./relay.js", import.meta.url), [
	join(folder, "spool"),
	String(await sink.ask<number>("port")),
	...[SMALL_MESSAGES, SMALL_BYTES, LARGE_MESSAGES].map(String),
]);
const bare = new Child(new URL("./bare.js", import.meta.url), [
	join(folder, "bare.mdb"),
	...[large.length, LARGE_MESSAGES, AT_ONCE].map(String),
]);
const port = await relay.ask<number>("port");
const ownCpu = async () => {
	const { user, system } = process.cpuUsage();
	return user + system;
};
const clocks = [ownCpu, () => relay.cpu(), () => sink.cpu()];
const cpu: number[][] = []; // of each round through all: us a message, of the client, the server with the relay, the next hop
const samples = await inTurns(
	[
		{ name: OUT, run: outOfSpool },
		{ name: BARE, run: async () => LARGE_MESSAGES / (await bare.ask<number>("seconds")) },
		{ name: THROUGH, run: through },
	],
	rounds,
);
const arrived = await sink.ask<number>("bodyBytes");
const sent = (rounds + 1) * (SMALL_MESSAGES * SMALL_BYTES + LARGE_MESSAGES * LARGE_BYTES);
if (arrived !== sent) throw new Error(`${arrived} bytes of ${sent} have arrived`);
const left = await relay.ask<number>("left");
if (left !== 0) throw new Error(`${left} messages are in the spool`);
for (const child of [relay, bare, sink]) await child.stop();

const shares = ratios(samples, THROUGH, BARE);
printTable([
	["", "messages/s", "ratio to bare"],
	[OUT, spread(samplesOf(samples, OUT)), ""],
	[BARE, spread(samplesOf(samples, BARE)), figure(1)],
	[THROUGH, spread(samplesOf(samples, THROUGH)), spread(shares)],
]);
printProcessors(cpu.slice(-rounds)); // without the warm-up
for (const [name, values] of samples) {
	record({ benchmark: BENCHMARK, name, unit: "messages/s", samples: values, better: "higher" });
}
holdTo({
	benchmark: BENCHMARK,
	name: `${OUT}, messages/s`,
	samples: samplesOf(samples, OUT),
	atLeast: 20_000,
});
holdTo({ benchmark: BENCHMARK, name: `${THROUGH}, to the bare loop`, samples: shares, atLeast: 0.5 });

async function outOfSpool(): Promise<number> {
	await relay.ask("fill");
	return SMALL_MESSAGES / (await relay.ask<number>("drain"));
}

async function through(): Promise<number> {
	await relay.ask("listen");
	const before = await Promise.all(clocks.map((clock) => clock()));
	const started = performance.now();
	const answers = await sendPrebuilt(port, [large], LARGE_MESSAGES);
	if (answers !== LARGE_MESSAGES) throw new Error(`${answers} answers to ${LARGE_MESSAGES} messages`);
	await relay.ask("delivered");
	const seconds = (performance.now() - started) / 1000;
	const after = await Promise.all(clocks.map((clock) => clock()));
	cpu.push(after.map((time, index) => (time - (before[index] as number)) / LARGE_MESSAGES));
	return LARGE_MESSAGES / seconds;
}

/** What the whole way takes of all processors: no machine is faster than that, however well its processes overlap. */
function printProcessors(rows: readonly (readonly number[])[]): void {
	const [client, through, hop] = clocks.map((_, index) => median(rows.map((row) => row[index] as number)));
	const total = median(rows.map((row) => row.reduce((sum, time) => sum + time, 0)));
	const most = (availableParallelism() * 1_000_000) / total;
	const parts = `client ${figure(client ?? 0)}, server and relay ${figure(through ?? 0)}, next hop ${figure(hop ?? 0)}`;
	console.log(`\n  processor time of 100 KB the whole way, us: ${parts}`);
	console.log(`  with all processors at work all the time, that is ${figure(most)} messages/s at most\n`);
}

/**
 * Messages of 1 KiB, pipelined over one connection on the loopback interface, into a server that discards them. Client
 * and server are two processes. Beside them, in the same run, a bare socket takes the same chunks from the same client:
 * what the system can do at most.
 *
 * What it defends against:
 * - Work that is left out: the client reads and counts every answer, and each must be a K; the sink tells how many bytes
 *   it got. The server parses, asks its hooks, opens a delivery and commits for each message, as it does with any queue.
 * - Clients that are slower than the server: one writes chunks that were made before and looks only at the first byte
 *   of each answer. What a program gets that awaits a promise for each message stands in a row of its own.
 * - Bytes that nobody touched: neither the sink nor the server looks at a body, which is why the ratio of the two counts
 *   and not the figures. All bytes are copied into the kernel and out again. The chunks are 4 MiB in turn, not one that
 *   stays in the cache.
 * - JIT warm-up: each server is a process of its own that runs through all rounds, of which the first is not counted.
 * - A noisy, shared machine: the variants run in turns, ratios are those of one round, and the CPU time that the server
 *   process took stands beside the clock's: it changes little when somebody else takes a core.
 */
import { Child } from "../child.js";
import { messageBody, repeated, smallPackage } from "../fixtures/packages.js";
import { benchmarkOptions } from "../options.js";
import { figure, printTable, printTitle, spread } from "../report.js";
import { inTurns, median, ratio, type Samples, samplesOf, type Variant } from "../rounds.js";
import { sendByClient, sendPrebuilt } from "./clients.js";

const BODY_BYTES = 1024;
const PACKAGES_IN_CHUNK = 64; // a little more than 64 KiB
const CHUNKS = 60;
const MESSAGES = PACKAGES_IN_CHUNK * 4096;
const MESSAGES_OF_CLIENT = MESSAGES / 2; // the client's code is not fast before some 100,000
const AT_ONCE = 1000;
const TARGET_PER_SECOND = 250_000;
const TARGET_RATIO = 0.35;

const SINK = "raw socket";
const SERVER = "server";
const HOOKS = "server, three async hooks";
const CLIENT = "server, QmtpClient.send";

const { rounds, cpuProf } = benchmarkOptions({ rounds: 5 });
const package_ = smallPackage(BODY_BYTES);
const chunks = Array.from({ length: CHUNKS }, () => repeated(package_, PACKAGES_IN_CHUNK));
const cpu = new Map<string, number[]>(); // microseconds for each message, of the server, by variant

const sink = start("sink");
const server = start("server");
const hooks = start("server", "hooks");
const ports = await Promise.all([sink, server, hooks].map((child) => child.ask<number>("port")));
const [sinkPort, serverPort, hooksPort] = ports as [number, number, number];

printTitle(`loopback: messages of ${BODY_BYTES} B, pipelined, one connection`, rounds);
report(
	await inTurns(
		[
			variant(SINK, sink, MESSAGES, async () => {
				await sendPrebuilt(sinkPort, chunks, MESSAGES / PACKAGES_IN_CHUNK);
				const bytes = await sink.ask<number>("bytes");
				if (bytes !== MESSAGES * package_.length) throw new Error(`the sink got ${bytes} bytes`);
			}),
			variant(SERVER, server, MESSAGES, () => prebuilt(serverPort)),
			variant(HOOKS, hooks, MESSAGES, () => prebuilt(hooksPort)),
			variant(CLIENT, server, MESSAGES_OF_CLIENT, () => {
				const body = messageBody(BODY_BYTES);
				return sendByClient(serverPort, { body, messages: MESSAGES_OF_CLIENT, atOnce: AT_ONCE });
			}),
		],
		rounds,
	),
);
for (const child of [sink, server, hooks]) await child.stop();

function start(module: string, ...args: readonly string[]): Child {
	const profile = ["--cpu-prof", `--cpu-prof-name=loopback-${[module, ...args].join("-")}.cpuprofile`];
	return new Child(new URL(`./${module}.js`, import.meta.url), args, cpuProf ? profile : []);
}

async function prebuilt(port: number): Promise<void> {
	const answers = await sendPrebuilt(port, chunks, MESSAGES / PACKAGES_IN_CHUNK);
	if (answers !== MESSAGES) throw new Error(`${answers} answers to ${MESSAGES} messages`);
}

/** Measures messages a second, by the clock. */
function variant(name: string, child: Child, messages: number, send: () => Promise<void>): Variant {
	return {
		name,
		async run() {
			const before = await child.ask<NodeJS.CpuUsage>("cpu");
			const started = performance.now();
			await send();
			const seconds = (performance.now() - started) / 1000;
			const after = await child.ask<NodeJS.CpuUsage>("cpu");
			const microseconds = after.user + after.system - before.user - before.system;
			cpu.set(name, [...(cpu.get(name) ?? []), microseconds / messages].slice(-rounds)); // without the warm-up
			return messages / seconds;
		},
	};
}

function report(samples: Samples): void {
	const rows = [["", "messages/s", "MB/s", "ratio to raw", "server's CPU, us/message"]];
	for (const name of [SINK, SERVER, HOOKS, CLIENT]) {
		const perSecond = samplesOf(samples, name);
		const megabytes = (median(perSecond) * package_.length) / 1e6;
		const share = ratio(samples, name, SINK);
		rows.push([name, spread(perSecond), figure(megabytes), figure(share), spread(cpu.get(name) ?? [])]);
	}
	printTable(rows);
	const perSecond = samplesOf(samples, SERVER);
	const shares = perSecond.map((value, round) => value / (samplesOf(samples, SINK)[round] as number));
	const isMet = (reached: number, share: number) => reached >= TARGET_PER_SECOND || share >= TARGET_RATIO;
	const inMedian = isMet(median(perSecond), median(shares));
	const inBest = perSecond.some((value, round) => isMet(value, shares[round] as number));
	const target = `${figure(TARGET_PER_SECOND)} messages/s, or ${TARGET_RATIO} of the raw socket, whichever is lower`;
	const verdict = inMedian ? "met" : inBest ? "met in the best round, but MISSED in the median" : "MISSED";
	console.log(`\n  target: ${target}: ${verdict}`);
}

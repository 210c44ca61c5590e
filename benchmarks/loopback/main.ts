/**
 * Messages of 1 KiB and of 1 MiB, pipelined over the loopback interface, into a server that discards them. Client and
 * server are two processes. Beside them, in the same run, bare sockets take the same chunks from the same client: one
 * drops them, which is what the system can do at most; one decodes the packages, and one answers them, too, which is what a
 * server of our own decoder could do that asked nobody and kept nothing.
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
 * - A connection that is fast because it is alone: four at once must not be slower together than one.
 */
import { Child } from "../child.js";
import { messageBody, repeated, smallPackage } from "../fixtures/packages.js";
import { benchmarkOptions } from "../options.js";
import { figure, printTable, printTitle, spread } from "../report.js";
import { record } from "../results.js";
import { inTurns, median, ratio, ratios, type Samples, samplesOf, type Variant } from "../rounds.js";
import { holdTo } from "../target.js";
import { sendByClient, sendPrebuilt } from "./clients.js";

/** What the client writes: packages in chunks, again and again. */
interface Load {
	readonly packageBytes: number;
	readonly messages: number;
	readonly inChunk: number;
	readonly chunks: readonly Buffer[];
}

const KIB = 1024;
const MIB = 1024 * KIB;
const SMALL_BODY = KIB;
const small = load(SMALL_BODY, { messages: 256 * KIB, inChunk: 64 }); // a chunk is a little more than 64 KiB
const large = load(MIB, { messages: KIB, inChunk: 1 });
const MESSAGES_OF_CLIENT = small.messages / 2; // the client's code is not fast before some 100,000
const AT_ONCE = 1000;
const CONNECTIONS = 4;

const SINK = "raw socket";
const DECODING = "raw socket that decodes";
const ANSWERING = "raw socket that decodes and answers";
const SERVER = "server";
const FOUR = `server, ${CONNECTIONS} connections`;
const HOOKS = "server, three async hooks";
const CLIENT = "server, QmtpClient.send";
const SINK_LARGE = "raw socket, 1 MiB";
const SERVER_LARGE = "server, 1 MiB";
const CLIENT_PER_SECOND = 200_000;

const { rounds, cpuProf } = benchmarkOptions({ rounds: 5 });
const cpu = new Map<string, number[]>(); // microseconds for each message, of the server, by variant

const sink = start("sink");
const decoding = start("sink", "decode");
const answering = start("sink", "answer");
const server = start("server");
const hooks = start("server", "hooks");
const children = [sink, decoding, answering, server, hooks];
const ports = await Promise.all(children.map((child) => child.ask<number>("port")));
const [sinkPort, decodingPort, answeringPort, serverPort, hooksPort] = ports as [
	number,
	number,
	number,
	number,
	number,
];

printTitle("loopback: messages pipelined into a server that discards them", rounds);
report(
	await inTurns(
		[
			variant(SINK, sink, small, () => intoSink(sink, sinkPort, small)),
			variant(DECODING, decoding, small, () => intoSink(decoding, decodingPort, small)),
			variant(ANSWERING, answering, small, () => prebuilt(answeringPort, small)),
			variant(SERVER, server, small, () => prebuilt(serverPort, small)),
			variant(FOUR, server, small, () => prebuilt(serverPort, small, CONNECTIONS)),
			variant(HOOKS, hooks, small, () => prebuilt(hooksPort, small)),
			variant(CLIENT, server, { ...small, messages: MESSAGES_OF_CLIENT }, () => {
				const body = messageBody(SMALL_BODY);
				return sendByClient(serverPort, { body, messages: MESSAGES_OF_CLIENT, atOnce: AT_ONCE });
			}),
			variant(SINK_LARGE, sink, large, () => intoSink(sink, sinkPort, large)),
			variant(SERVER_LARGE, server, large, () => prebuilt(serverPort, large)),
		],
		rounds,
	),
);
for (const child of children) await child.stop();

function start(module: string, ...args: readonly string[]): Child {
	const profile = ["--cpu-prof", `--cpu-prof-name=loopback-${[module, ...args].join("-")}.cpuprofile`];
	return new Child(new URL(`./${module}.js`, import.meta.url), args, cpuProf ? profile : []);
}

/** Chunks that are 4 MiB together, or a little more. */
function load(bodyBytes: number, { messages, inChunk }: Pick<Load, "messages" | "inChunk">): Load {
	const package_ = smallPackage(bodyBytes);
	const length = Math.ceil((4 * MIB) / (inChunk * package_.length));
	const chunks = Array.from({ length }, () => repeated(package_, inChunk));
	return { packageBytes: package_.length, messages, inChunk, chunks };
}

async function intoSink(child: Child, port: number, load: Load): Promise<void> {
	const { chunks, messages, inChunk, packageBytes } = load;
	await sendPrebuilt(port, chunks, messages / inChunk);
	const bytes = await child.ask<number>("bytes");
	if (bytes !== messages * packageBytes) throw new Error(`the sink got ${bytes} bytes`);
}

async function prebuilt(port: number, { chunks, messages, inChunk }: Load, connections = 1): Promise<void> {
	const times = messages / inChunk / connections;
	const answers = await Promise.all(
		Array.from({ length: connections }, () => sendPrebuilt(port, chunks, times)),
	);
	const wrong = answers.find((count) => count !== messages / connections);
	if (wrong !== undefined) throw new Error(`${wrong} answers to ${messages / connections} messages`);
}

/** Measures messages a second, by the clock. */
function variant(name: string, child: Child, { messages }: Load, send: () => Promise<void>): Variant {
	return {
		name,
		async run() {
			const before = await child.cpu();
			const started = performance.now();
			await send();
			const seconds = (performance.now() - started) / 1000;
			const microseconds = (await child.cpu()) - before;
			cpu.set(name, [...(cpu.get(name) ?? []), microseconds / messages].slice(-rounds)); // without the warm-up
			return messages / seconds;
		},
	};
}

function report(samples: Samples): void {
	table("1 KiB", samples, small, [SINK, DECODING, ANSWERING, SERVER, FOUR, HOOKS, CLIENT]);
	table("1 MiB", samples, large, [SINK_LARGE, SERVER_LARGE]);
	console.log();
	const hold = (name: string, one: string, to: string, atLeast: number) =>
		holdTo({ benchmark: "loopback", name, samples: ratios(samples, one, to), atLeast });
	hold("1 KiB, server to raw socket", SERVER, SINK, 0.7);
	hold("1 MiB, server to raw socket", SERVER_LARGE, SINK_LARGE, 0.95);
	hold(`1 KiB, ${CONNECTIONS} connections to one`, FOUR, SERVER, 1);
	hold("1 KiB, async hooks to none", HOOKS, SERVER, 0.6);
	const perSecond = median(samplesOf(samples, CLIENT));
	holdTo({
		benchmark: "loopback",
		name: "1 KiB, QmtpClient.send to the client of prebuilt bytes",
		samples: ratios(samples, CLIENT, SERVER),
		atLeast: 0.35,
		note: `or ${figure(CLIENT_PER_SECOND)} messages/s; it has ${figure(perSecond)}`,
		metOtherwise: perSecond >= CLIENT_PER_SECOND,
	});
}

function table(title: string, samples: Samples, { packageBytes }: Load, names: readonly string[]): void {
	const isLarge = packageBytes > MIB;
	const rows = [[title, "messages/s", "MB/s", "ratio to raw", "server's CPU, us/message"]];
	for (const name of names) {
		const perSecond = samplesOf(samples, name);
		const times = cpu.get(name) ?? [];
		const megabytes = perSecond.map((value) => (value * packageBytes) / 1e6);
		rows.push([
			name,
			spread(perSecond),
			figure(median(megabytes)),
			figure(ratio(samples, name, names[0] as string)),
			spread(times),
		]);
		// Large ones by the byte: beside small ones their messages would be nothing.
		const speed = isLarge ? { unit: "MB/s", samples: megabytes } : { unit: "messages/s", samples: perSecond };
		record({ benchmark: "loopback", name, ...speed, better: "higher" });
		const unit = isLarge ? "us of CPU/MiB" : "us of CPU/message";
		record({ benchmark: "loopback", name: `${name}: CPU`, unit, samples: times, better: "lower" });
	}
	printTable(rows);
}

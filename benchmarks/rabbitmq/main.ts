/**
 * Messages of 1 KiB, pipelined over one connection on the loopback interface, into a server over RabbitMQ: each is confirmed
 * by a quorum queue before its K. Beside it, in the same run, a bare publisher: the same bytes to an equal queue of the same
 * node, with as many of them unconfirmed as the server has in commit, and no server. Then the way out: a relay from the queue
 * to a server that discards. The node is one of our own, which is started here.
 *
 * What it defends against:
 * - Work that is left out: the client reads every answer, each must be a K, and the broker says after each round how many
 *   messages it has; the bare publisher waits for every confirm too, and both publish persistent and mandatory. Of what the
 *   relay delivers the next hop must have had all bytes, and the queue must be empty.
 * - Unequal queues: both are declared by the same call. What a confirm is worth is the node's: it has synced its log, and it
 *   is alone, so there is no other node to wait for.
 * - Bytes that are fewer: the server adds no Received field, and the publisher sends properties like the server's.
 * - JIT warm-up: a round that is not counted comes first.
 * - Queues that grow: each is emptied after each measurement, while nobody measures.
 * - A noisy, shared machine: they run in turns, and the ratio is the median of the ratios within a round. The broker, the
 *   server and the client share the cores; the bare publisher has none to share with but the broker.
 */
import { Child } from "../child.js";
import { repeated, smallPackage } from "../fixtures/packages.js";
import { sendPrebuilt } from "../loopback/clients.js";
import { benchmarkOptions } from "../options.js";
import { figure, printTable, printTitle, spread } from "../report.js";
import { record } from "../results.js";
import { inTurns, ratios, samplesOf } from "../rounds.js";
import { holdTo } from "../target.js";
import { startBroker } from "./broker.js";
import { rabbitmqInstalled } from "./host.js";
import { Queues } from "./queues.js";

const BODY_BYTES = 1024;
const PACKAGES_IN_CHUNK = 64;
const CHUNKS = 16;
const MESSAGES = 32 * 1024; // of one measurement
const AT_ONCE = 1000; // the server's default for messages in commit
const TARGET_RATIO = 0.7;
const BENCHMARK = "rabbitmq";

const SERVED = "server and RabbitMQ";
const BARE = "bare publisher";
const OUT = "RabbitMQ and relay";

const { rounds } = benchmarkOptions({ rounds: 5 });
printTitle(
	`rabbitmq: messages of ${BODY_BYTES} B, ${AT_ONCE} in commit, each confirmed before its K`,
	rounds,
);
if (rabbitmqInstalled()) await measure();
else console.log("\n  not measured: there is no rabbitmq-server here (Debian package rabbitmq-server)");

async function measure(): Promise<void> {
	const broker = await startBroker();
	const queues = await Queues.declare(broker.url, ["served", "bare"]);
	const child = (module: string, ...args: readonly (string | number)[]) =>
		new Child(new URL(module, import.meta.url), [broker.url, ...args.map(String)]);
	const server = child("./server.js", "served");
	const bare = child("./bare.js", "bare", BODY_BYTES, MESSAGES, AT_ONCE);
	const sink = new Child(new URL("../relay/sink.js", import.meta.url), []);
	const relay = child("./relay.js", "served", await sink.ask<number>("port"), MESSAGES);
	const port = await server.ask<number>("port");
	const chunks = Array.from({ length: CHUNKS }, () => repeated(smallPackage(BODY_BYTES), PACKAGES_IN_CHUNK));

	const samples = await inTurns(
		[
			{
				name: BARE,
				async run() {
					const seconds = await bare.ask<number>("seconds");
					await queues.empty("bare", MESSAGES);
					return MESSAGES / seconds;
				},
			},
			{
				name: SERVED,
				async run() {
					const seconds = await fill(port, chunks);
					await queues.empty("served", MESSAGES);
					return MESSAGES / seconds;
				},
			},
			{
				name: OUT,
				async run() {
					await fill(port, chunks);
					const seconds = await relay.ask<number>("drain");
					await queues.empty("served", 0);
					return MESSAGES / seconds;
				},
			},
		],
		rounds,
	);
	const arrived = await sink.ask<number>("bodyBytes");
	const sent = (rounds + 1) * MESSAGES * BODY_BYTES;
	if (arrived !== sent) throw new Error(`${arrived} bytes of ${sent} have arrived`);
	for (const process of [relay, sink, bare, server]) await process.stop();
	await queues.close();
	await broker.stop();

	const shares = ratios(samples, SERVED, BARE);
	printTable([
		["", "messages/s", "ratio to bare"],
		[BARE, spread(samplesOf(samples, BARE)), figure(1)],
		[SERVED, spread(samplesOf(samples, SERVED)), spread(shares)],
		[OUT, spread(samplesOf(samples, OUT)), ""],
	]);
	for (const [name, values] of samples) {
		record({ benchmark: BENCHMARK, name, unit: "messages/s", samples: values, better: "higher" });
	}
	console.log();
	holdTo({
		benchmark: BENCHMARK,
		name: "into RabbitMQ, to the bare publisher",
		samples: shares,
		atLeast: TARGET_RATIO,
	});
}

/** Sends the messages of one measurement to the server. @returns Seconds. */
async function fill(port: number, chunks: readonly Buffer[]): Promise<number> {
	const started = performance.now();
	const answers = await sendPrebuilt(port, chunks, MESSAGES / PACKAGES_IN_CHUNK);
	if (answers !== MESSAGES) throw new Error(`${answers} answers to ${MESSAGES} messages`);
	return (performance.now() - started) / 1000;
}

/**
 * Ten thousand connections on which nothing happens: how much resident memory each costs the server's process. Beside it,
 * in the same run, the same connections to a bare `net` server with the same options. The clients are another process.
 * A third row is of connections that have each brought one message of 1 KiB before, with its answer.
 *
 * What it defends against:
 * - Memory that is taken once: code, pools and the first connections come before the first look, by a few hundred
 *   connections that do all that is measured and end.
 * - Garbage: it is collected before each look. What counts is resident memory, with whatever the collector's heap and
 *   the C library keep, and not the sum of objects. What the kernel has for a socket is not in it.
 * - Connections that are not there: the server counts them, and the benchmark waits until it has all.
 * - What a process keeps from one round to the next: each measurement has a new one.
 */
import { once } from "node:events";
import type { Socket } from "node:net";
import { Child } from "../child.js";
import { smallPackage } from "../fixtures/packages.js";
import { benchmarkOptions } from "../options.js";
import { figure, printTable, printTitle, spread } from "../report.js";
import { record } from "../results.js";
import { inTurns, ratio, type Samples, samplesOf, type Variant } from "../rounds.js";
import { holdTo } from "../target.js";
import { connectMany, mostConnections, resetAll } from "./connections.js";

const WANTED = 10_000;
const WARM_UP = 300;
const PACKAGE = smallPackage(1024);
const TARGET_KIB = 12;
const STATUS_K = 0x4b;

const BARE = "net server";
const SERVER = "server";
const USED = "server, one message before";

const { rounds } = benchmarkOptions({ rounds: 5 });
const connections = Math.min(WANTED, mostConnections());
printTitle(`idle: ${figure(connections)} connections on which nothing happens`, rounds);
if (connections < WANTED)
	console.log(`\n  fewer than ${figure(WANTED)}: the limit of open files (ulimit -n) is lower`);
const none = async () => {};
report(
	await inTurns(
		[variant(BARE, "net", none), variant(SERVER, "qmtp", none), variant(USED, "qmtp", sendOne)],
		rounds,
	),
);

/** Measures KiB a connection. */
function variant(name: string, kind: string, use: (socket: Socket) => Promise<void>): Variant {
	return {
		name,
		async run() {
			const arguments_ = [kind, `${connections}`];
			const child = new Child(new URL("./server.js", import.meta.url), arguments_, ["--expose-gc"]);
			const port = await child.ask<number>("port");
			const first = await connectMany(port, WARM_UP);
			await Promise.all(first.map(use));
			await resetAll(first);
			await child.ask("empty");
			const before = await child.ask<number>("memory");
			const sockets = await connectMany(port, connections);
			await child.ask("full");
			await Promise.all(sockets.map(use));
			const after = await child.ask<number>("memory");
			await child.ask("full"); // still
			await resetAll(sockets);
			await child.stop();
			return (after - before) / 1024 / connections;
		},
	};
}

/** Sends a message, and resolves when its K has come. */
async function sendOne(socket: Socket): Promise<void> {
	const answer = once(socket, "data");
	socket.write(PACKAGE);
	const [chunk] = await answer;
	// A netstring of some two digits, a colon, and the status.
	if (chunk[chunk.indexOf(":") + 1] !== STATUS_K) throw new Error(`the answer is no K: ${chunk}`);
}

function report(samples: Samples): void {
	const rows = [["", "KiB a connection", "times bare"]];
	for (const name of [BARE, SERVER, USED]) {
		const sizes = samplesOf(samples, name);
		rows.push([name, spread(sizes), figure(ratio(samples, name, BARE))]);
		record({ benchmark: "idle", name, unit: "KiB/connection", samples: sizes, better: "lower" });
	}
	printTable(rows);
	console.log();
	for (const name of [SERVER, USED]) {
		holdTo({
			benchmark: "idle",
			name: `KiB of an idle connection, ${name}`,
			samples: samplesOf(samples, name),
			atMost: TARGET_KIB,
		});
	}
}

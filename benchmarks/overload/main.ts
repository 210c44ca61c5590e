/**
 * Many clients that send large messages at once into a queue that is slow: how much memory the server takes at its
 * highest. It must not depend on how many there are, nor on what they send; 200 MiB is the bound, and to exceed it is a
 * failure, since mail servers that can be made to grow can be made to fall.
 *
 * What it defends against:
 * - Peaks between two looks: the figure is VmHWM, the kernel's own maximum over the life of the process.
 * - A queue that is not slow, or that makes the server wait for each chunk: it takes what comes, holds it until its disk,
 *   which writes 256 MiB/s for all, has it, and makes a delivery wait only when that has 2 MiB outstanding, as a maildir's.
 * - Clients that are not there: all have connected, and have sent their first bytes, before the first one may end; each
 *   must get its K; and the queue counts the bytes.
 */
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { Child } from "../child.js";
import { benchmarkOptions } from "../options.js";
import { figure, printTable, printTitle, spread } from "../report.js";
import { record, recordTarget } from "../results.js";

const MIB = 1024 * 1024;
const CLIENTS = 200;
const MESSAGE_BYTES = 50 * MIB;
const MOST_MIB = 200;
const BLOCK = Buffer.alloc(64 * 1024, "0123456789abcde\n");
const TAIL = ",18:sender@example.org,20:16:rcpt@example.com,,";

/** What a server says of itself, in bytes. */
interface Memory {
	readonly peak: number;
	readonly start: number;
	/** What the server's own count was at its highest. */
	readonly held: number;
	readonly taken: number;
}

const { rounds } = benchmarkOptions({ rounds: 1 });
printTitle(`overload: ${CLIENTS} clients send 50 MiB each into a slow queue`, rounds);
const runs: (Memory & { readonly seconds: number })[] = [];
for (let round = 0; round < rounds; round++) runs.push(await run());
const peaks = runs.map(({ peak }) => peak / MIB);
printTable([
	["resident memory of the server in MiB", "at its highest", "before", "its own count", "MB/s"],
	[
		"",
		spread(peaks),
		spread(runs.map(({ start }) => start / MIB)),
		spread(runs.map(({ held }) => held / MIB)),
		spread(runs.map(({ seconds }) => (CLIENTS * MESSAGE_BYTES) / seconds / 1e6)),
	],
]);
const most = Math.max(...peaks);
const met = most < MOST_MIB;
record({ benchmark: "overload", name: "peak memory", unit: "MiB", samples: peaks, better: "lower" });
recordTarget({
	benchmark: "overload",
	name: "MiB at most",
	value: most,
	samples: peaks,
	atMost: MOST_MIB,
	met,
});
console.log(`\n  bound: less than ${MOST_MIB} MiB: ${met ? "kept" : "EXCEEDED"}, with ${figure(most)}`);
if (!met) process.exitCode = 1;

async function run(): Promise<Memory & { readonly seconds: number }> {
	const child = new Child(new URL("./server.js", import.meta.url), [String(CLIENTS)]);
	const port = await child.ask<number>("port");
	const sockets: Socket[] = [];
	for (let client = 0; client < CLIENTS; client++) {
		const socket = connect({ port, host: "127.0.0.1", noDelay: true });
		await once(socket, "connect");
		sockets.push(socket);
	}
	const started = performance.now();
	await Promise.all(sockets.map(send));
	const seconds = (performance.now() - started) / 1000;
	const memory = await child.ask<Memory>("memory");
	await child.stop();
	if (memory.taken < CLIENTS * MESSAGE_BYTES) throw new Error(`the queue got only ${memory.taken} bytes`);
	return { ...memory, seconds };
}

async function send(socket: Socket): Promise<void> {
	let answer = "";
	socket.on("data", (bytes) => {
		answer += bytes.toString("latin1");
	});
	socket.write(`${MESSAGE_BYTES + 1}:\n`);
	for (let sent = 0; sent < MESSAGE_BYTES; sent += BLOCK.length) {
		if (!socket.write(BLOCK)) await once(socket, "drain");
	}
	socket.end(TAIL);
	await once(socket, "close");
	if (!/^\d+:K/.test(answer)) throw new Error(`the answer is no K: ${JSON.stringify(answer)}`);
}

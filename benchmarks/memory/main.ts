/**
 * A message of 1 GiB through a server, which is a process of its own, into a Maildir: by how much the server's resident
 * memory grows, which must not depend on the message, and how long it takes. Beside it, in the same run, a bare loop
 * takes the same bytes from a socket into a file, copies that behind a header and syncs it; and `cp`, with an fsync.
 *
 * What it defends against:
 * - What a process takes only once, compiled code and pools: the second message is measured, and the first one is as
 *   large. Each round has new processes, the bare loop's as well.
 * - Garbage that was there before, and makes room: another process, started with --expose-gc, collects it before it
 *   looks. Apart from that both run with the collector's defaults.
 * - Peaks between two looks: the server looks every 2 ms, and tells how often it did.
 * - A sender that holds the message, or a body that is never there: the body is made of one block, piece by piece, as the
 *   server takes it; the answer must be a K; and the file in the Maildir must have all bytes.
 * - A disk that is faster at one time than at another: the ratio is one of times in the same round, and what comes first
 *   changes from round to round.
 *
 * It says what the sending process took as well, since the client must not hold a message either.
 */
import { once } from "node:events";
import { mkdirSync, readdirSync, rmSync, statfsSync, statSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { QmtpClient } from "qmtp";
import { Child } from "../child.js";
import { messageBody } from "../fixtures/packages.js";
import { temporaryFolder } from "../folder.js";
import { benchmarkOptions } from "../options.js";
import { figure, printTable, printTitle, spread } from "../report.js";
import { record } from "../results.js";
import { holdTo } from "../target.js";
import { CopiedFile } from "./copy.js";
import { Watch, type Watched } from "./watch.js";

const MIB = 1024 * 1024;
const MESSAGE_BYTES = 1024 * MIB;
const BLOCK = messageBody(64 * 1024);
const NEEDED_BYTES = 3.2 * MESSAGE_BYTES; // the source of cp; a file in tmp/ while it arrives, and its copy in new/
const TARGET_MIB = 24;
const TARGET_RATIO = 0.8;

/** The second message of a process. */
interface Transfer {
	readonly server: Watched;
	readonly client: Watched;
	readonly seconds: number;
}

const { rounds } = benchmarkOptions({ rounds: 5 });
printTitle("memory: a message of 1 GiB through a server into a Maildir", rounds);
const folder = temporaryFolder();
const { bavail, bsize } = statfsSync(folder);
const free = bavail * bsize;
if (free >= NEEDED_BYTES) await compare();
else console.log(`\n  skipped: ${folder} has ${mib(free)} MiB free, and ${mib(NEEDED_BYTES)} are needed`);

async function compare(): Promise<void> {
	const plain: Transfer[] = [];
	const collected: Transfer[] = [];
	const bare: number[] = []; // seconds
	const copied: number[] = [];
	const source = await CopiedFile.make(folder, BLOCK, MESSAGE_BYTES);
	const turns = [
		async () => void plain.push(await transfer([])),
		async () => void bare.push(await bareTransfer()),
		async () => void copied.push(await source.copy()),
		async () => void collected.push(await transfer(["--expose-gc"])),
	];
	for (let round = 0; round < rounds; round++) {
		for (let turn = 0; turn < turns.length; turn++) await turns[(turn + round) % turns.length]?.();
	}
	source.remove();
	memoryTable({ plain, collected });
	const seconds = plain.map((transfer) => transfer.seconds);
	speedTable({ "server, Maildir": seconds, "bare loop": bare, "cp and fsync": copied });
	console.log();
	holdTo({
		benchmark: "memory",
		name: "MiB by which the server grows",
		samples: plain.map(growth),
		atMost: TARGET_MIB,
	});
	holdTo({
		benchmark: "memory",
		name: "server to the bare loop",
		samples: seconds.map((value, round) => (bare[round] as number) / value),
		atLeast: TARGET_RATIO,
	});
}

function memoryTable({ plain, collected }: Readonly<Record<string, readonly Transfer[]>>): void {
	const rows = [["resident memory in MiB", "server's growth", "from", "client's growth"]];
	const add = (name: string, transfers: readonly Transfer[] = []) => {
		const samples = transfers.map(growth);
		const from = transfers.map(({ server }) => server.before / MIB);
		const client = transfers.map(({ client }) => (client.peak - client.before) / MIB);
		rows.push([name, spread(samples), spread(from), spread(client)]);
		record({ benchmark: "memory", name: `server's growth, ${name}`, unit: "MiB", samples, better: "lower" });
	};
	add("as it comes", plain);
	add("garbage collected before", collected);
	printTable(rows);
}

function speedTable(times: Readonly<Record<string, readonly number[]>>): void {
	const rows = [["1 GiB", "MB/s"]];
	for (const [name, seconds] of Object.entries(times)) {
		const samples = seconds.map((value) => MESSAGE_BYTES / value / 1e6);
		rows.push([name, spread(samples)]);
		record({ benchmark: "memory", name, unit: "MB/s", samples, better: "higher" });
	}
	printTable(rows);
}

/** Sends two messages to a new server process, and measures the second. */
async function transfer(execArgv: readonly string[]): Promise<Transfer> {
	const path = join(folder, "mail");
	const child = new Child(new URL("./server.js", import.meta.url), [path], execArgv);
	const client = new QmtpClient({ port: await child.ask<number>("port") });
	await send(client);
	checkFile(path);
	await child.ask("begin");
	const watch = new Watch();
	const started = performance.now();
	await send(client);
	const seconds = (performance.now() - started) / 1000;
	const own = watch.end();
	const server = await child.ask<Watched>("end");
	checkFile(path);
	await client.close();
	await child.stop();
	return { server, client: own, seconds };
}

async function send(client: QmtpClient): Promise<void> {
	const { responses } = await client.send({
		sender: "sender@example.org",
		recipients: ["recipient@example.com"],
		message: body(),
		size: MESSAGE_BYTES,
		encoding: "lf",
	});
	if (responses[0]?.status !== "K") throw new Error(`the answer is no K: ${JSON.stringify(responses)}`);
}

/** Looks whether the Maildir holds the message, whole, and removes it. */
function checkFile(path: string): void {
	const names = readdirSync(join(path, "new"));
	const file = join(path, "new", names[0] ?? "");
	const { size } = statSync(file);
	// The message, and a few lines on top of it.
	if (names.length !== 1 || size < MESSAGE_BYTES || size > MESSAGE_BYTES + 1000) {
		throw new Error(`the Maildir holds ${names.length} files, the first of ${size} bytes`);
	}
	rmSync(file);
}

/** The same bytes into the bare loop, twice; the seconds of the second time. */
async function bareTransfer(): Promise<number> {
	const path = join(folder, "bare");
	mkdirSync(path, { recursive: true });
	const child = new Child(new URL("./bare.js", import.meta.url), [path]);
	const port = await child.ask<number>("port");
	let seconds = 0;
	for (let time = 0; time < 2; time++) {
		const started = performance.now();
		await sendBare(port);
		seconds = (performance.now() - started) / 1000;
		const bytes = await child.ask<number>("bytes");
		if (bytes < MESSAGE_BYTES || bytes > MESSAGE_BYTES + 1000) {
			throw new Error(`the bare loop has stored ${bytes} bytes`);
		}
	}
	await child.stop();
	return seconds;
}

async function sendBare(port: number): Promise<void> {
	const socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true, noDelay: true });
	await once(socket, "connect");
	const answer = text(socket);
	for (let sent = 0; sent < MESSAGE_BYTES; sent += BLOCK.length) {
		if (!socket.write(BLOCK)) await once(socket, "drain");
	}
	socket.end();
	if ((await answer) !== "1:K,") throw new Error(`the bare loop answered ${await answer}`);
}

/** The client asks for the next block when the one before is on its way. */
async function* body(): AsyncGenerator<Uint8Array> {
	for (let sent = 0; sent < MESSAGE_BYTES; sent += BLOCK.length) yield BLOCK;
}

/** In MiB. */
function growth({ server }: Transfer): number {
	return (server.peak - server.before) / MIB;
}

function mib(bytes: number): string {
	return figure(bytes / MIB);
}

/**
 * A message of 1 GiB through a server, which is a process of its own, into a Maildir: by how much the server's resident
 * memory grows. It must not grow with the message; below 32 MiB is the target.
 *
 * What it defends against:
 * - What a process takes only once, compiled code and pools: the second message is measured, and the first one is as
 *   large. Each round has a new process.
 * - Garbage that was there before, and makes room: another process, started with --expose-gc, collects it before it
 *   looks. Apart from that both run with the collector's defaults.
 * - Peaks between two looks: the server looks every 2 ms, and tells how often it did.
 * - A sender that holds the message, or a body that is never there: the body is made of one block, piece by piece, as the
 *   server takes it; the answer must be a K; and the file in the Maildir must have all bytes.
 *
 * It says what the sending process took as well, since the client must not hold a message either.
 */
import { readdirSync, rmSync, statfsSync, statSync } from "node:fs";
import { join } from "node:path";
import { QmtpClient } from "qmtp";
import { Child } from "../child.js";
import { messageBody } from "../fixtures/packages.js";
import { temporaryFolder } from "../folder.js";
import { benchmarkOptions } from "../options.js";
import { figure, printTable, printTitle, spread } from "../report.js";
import { Watch, type Watched } from "./watch.js";

const MIB = 1024 * 1024;
const MESSAGE_BYTES = 1024 * MIB;
const BLOCK = messageBody(64 * 1024);
const NEEDED_BYTES = 2.2 * MESSAGE_BYTES; // in tmp/ while it arrives, and its copy in new/
const TARGET_MIB = 32;

/** The second message of a process. */
interface Transfer {
	readonly server: Watched;
	readonly client: Watched;
	readonly seconds: number;
}

const { rounds } = benchmarkOptions({ rounds: 1 });
printTitle("memory: a message of 1 GiB through a server into a Maildir", rounds);
const folder = temporaryFolder();
const { bavail, bsize } = statfsSync(folder);
const free = bavail * bsize;
if (free >= NEEDED_BYTES) await compare();
else console.log(`\n  skipped: ${folder} has ${mib(free)} MiB free, and ${mib(NEEDED_BYTES)} are needed`);

async function compare(): Promise<void> {
	const plain: Transfer[] = [];
	const collected: Transfer[] = [];
	for (let round = 0; round < rounds; round++) {
		plain.push(await transfer([]));
		collected.push(await transfer(["--expose-gc"]));
	}
	const row = (name: string, transfers: readonly Transfer[]) => [
		name,
		spread(
			transfers.map(({ server }) => server.peak - server.before),
			mib,
		),
		spread(
			transfers.map(({ server }) => server.before),
			mib,
		),
		spread(
			transfers.map(({ client }) => client.peak - client.before),
			mib,
		),
		spread(transfers.map(({ seconds }) => MESSAGE_BYTES / seconds / 1e6)),
	];
	printTable([
		["resident memory in MiB", "server's growth", "from", "client's growth", "MB/s"],
		row("as it comes", plain),
		row("garbage collected before", collected),
	]);
	const most = Math.max(...plain.map(({ server }) => server.peak - server.before)) / MIB;
	const met = most < TARGET_MIB ? "met" : "MISSED";
	console.log(`\n  target: the server grows by less than ${TARGET_MIB} MiB: ${met}, with ${figure(most)}`);
}

/** Sends two messages to a new server process, and measures the second. */
async function transfer(execArgv: readonly string[]): Promise<Transfer> {
	const child = new Child(new URL("./server.js", import.meta.url), [folder], execArgv);
	const client = new QmtpClient({ port: await child.ask<number>("port") });
	await send(client);
	await child.ask("begin");
	const watch = new Watch();
	const started = performance.now();
	await send(client);
	const seconds = (performance.now() - started) / 1000;
	const own = watch.end();
	const server = await child.ask<Watched>("end");
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
	const names = readdirSync(join(folder, "new"));
	const path = join(folder, "new", names[0] ?? "");
	const { size } = statSync(path);
	// The message, and a few lines on top of it.
	if (names.length !== 1 || size < MESSAGE_BYTES || size > MESSAGE_BYTES + 1000) {
		throw new Error(`the Maildir holds ${names.length} files, the first of ${size} bytes`);
	}
	rmSync(path);
}

/** The client asks for the next block when the one before is on its way. */
async function* body(): AsyncGenerator<Uint8Array> {
	for (let sent = 0; sent < MESSAGE_BYTES; sent += BLOCK.length) yield BLOCK;
}

function mib(bytes: number): string {
	return figure(bytes / MIB);
}

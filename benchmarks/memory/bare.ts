/**
 * The yardstick of the memory benchmark: what comes over a socket goes into a file, is copied from there behind a header
 * into a second one, and is synced with its name. Those are the steps that a durable queue takes which learns the
 * envelope after the body, and nothing else: no netstrings, no addresses, no other message at the same time.
 *
 * Its argument is the folder. `bytes` answers with the size of the file that it stored last, and removes that.
 */
import { once } from "node:events";
import {
	close,
	createWriteStream,
	fsync,
	mkdirSync,
	open,
	read,
	rename,
	rmSync,
	statSync,
	unlink,
	write,
} from "node:fs";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { join } from "node:path";
import { promisify } from "node:util";
import { answerParent } from "../child.js";
import { netstringBytes } from "../fixtures/packages.js";

const HEADER = Buffer.from("Return-Path: <sender@example.org>\nDelivered-To: recipient@example.com\n");
const BATCH_BYTES = 256 * 1024;
const COPY_BYTES = 1024 * 1024;

const system = {
	open: promisify(open),
	read: promisify(read),
	write: promisify(write) as (descriptor: number, bytes: Uint8Array) => Promise<{ bytesWritten: number }>,
	fsync: promisify(fsync),
	close: promisify(close),
	rename: promisify(rename),
	unlink: promisify(unlink),
};

const [path = ""] = process.argv.slice(2);
const [tmp, new_] = [join(path, "tmp"), join(path, "new")];
for (const directory of [tmp, new_]) mkdirSync(directory, { recursive: true });
const [spooled, copy, stored] = [join(tmp, "spooled"), join(tmp, "copy"), join(new_, "stored")];

// As the server's: large reads, and the client may close its side first.
const options = { allowHalfOpen: true, noDelay: true, highWaterMark: 256 * 1024 };
const server = createServer(options, async (socket) => {
	await store(socket);
	socket.end(netstringBytes(Buffer.from("K")));
});
await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
const { port } = server.address() as AddressInfo;
answerParent({
	port: () => port,
	bytes: () => {
		const { size } = statSync(stored);
		rmSync(stored);
		return size;
	},
});

async function store(socket: Socket): Promise<void> {
	const from = await system.open(spooled, "wx+", 0o600);
	const file = createWriteStream(spooled, { fd: from, autoClose: false, highWaterMark: BATCH_BYTES });
	// pipe() and not pipeline(), which would destroy the socket before it has answered.
	await once(socket.pipe(file), "finish");
	const to = await system.open(copy, "wx", 0o600);
	await writeWhole(to, HEADER);
	const block = Buffer.allocUnsafeSlow(COPY_BYTES);
	for (let position = 0; ; ) {
		const { bytesRead } = await system.read(from, block, 0, block.length, position);
		if (bytesRead === 0) break;
		position += bytesRead;
		await writeWhole(to, block.subarray(0, bytesRead));
	}
	await system.fsync(to);
	await system.close(to);
	await system.rename(copy, stored);
	const directory = await system.open(new_, "r");
	await system.fsync(directory);
	await system.close(directory);
	await system.close(from);
	await system.unlink(spooled);
}

async function writeWhole(file: number, bytes: Uint8Array): Promise<void> {
	const { bytesWritten } = await system.write(file, bytes);
	if (bytesWritten !== bytes.length) throw new Error("a short write");
}

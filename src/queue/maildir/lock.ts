/**
 * A lock that dies with the process, however that ends: flock(2) on a file, as setlock and flock take it, so that they
 * and this program keep each other out.
 *
 * Node has no flock(2). But the lock belongs to the open file and not to the process: a helper that was given our
 * descriptor locks it and ends, and the lock is ours until we end, as with `exec 9>FILE; flock 9` in a shell. The
 * helper is util-linux's or busybox's flock, or perl.
 *
 * Other copies of this module in this process, and its threads, are kept out too. In one thread they share a set of
 * the files that are locked; threads do not, so a thread never goes on with a descriptor that it finds, and the main one
 * not with one that we have opened: flock(2) keeps descriptors apart that were opened one by one.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import {
	type BigIntStats,
	closeSync,
	constants,
	fstatSync,
	openSync,
	readdirSync,
	readSync,
	statSync,
	writeSync,
} from "node:fs";
import { stat } from "node:fs/promises";
import { isMainThread } from "node:worker_threads";

/** A lock that this process has. */
export interface FileLock {
	/** Lets go of it. One that was handed down stays with this process and with whoever took it. */
	release(): void;
	/**
	 * False if the file is gone from its path, or is another one by now: then the lock keeps nobody out.
	 *
	 * @throws What the system says.
	 */
	isInPlace(): Promise<boolean>;
}

/**
 * Takes the lock, and keeps it until it is released or the process ends. If whoever started this process handed its own
 * lock on the file down, as `setlock FILE qmtp ...` does, that lock is it.
 *
 * @param wait - For the lock, if another process has it, until `signal` is aborted.
 * @returns Null if somebody else has it: another process, or another part of this one.
 * @throws What the system says if the file cannot be opened; an Error if there is no helper, or if it is no file.
 */
export async function lock(path: string, wait: boolean, signal: AbortSignal): Promise<FileLock | null> {
	const file = statsOf(() => statSync(path, { bigint: true }));
	// Before the look for a descriptor that was handed down, which would find our own.
	if (file !== null && held.has(keyOf(file))) return null;
	const inherited = file === null || !isMainThread ? null : inheritedDescriptor(file);
	const descriptor = inherited ?? openSync(path, OPEN, 0o600);
	const opened = fstatSync(descriptor, { bigint: true });
	const key = keyOf(opened);
	let isReleased = false;
	const release = () => {
		if (isReleased) return;
		isReleased = true;
		held.delete(key);
		if (inherited === null) closeSync(descriptor);
	};
	held.add(key); // in the turn of the look
	let isTaken = false;
	try {
		if (!opened.isFile()) throw new Error("it is no regular file");
		isTaken = await take(descriptor, wait, signal);
	} finally {
		if (!isTaken) release();
	}
	return isTaken ? { release, isInPlace: () => isAt(path, key) } : null;
}

async function isAt(path: string, key: string): Promise<boolean> {
	try {
		return keyOf(await stat(path, { bigint: true })) === key;
	} catch (error) {
		const { code } = error as NodeJS.ErrnoException;
		if (code === "ENOENT" || code === "ENOTDIR") return false;
		throw error;
	}
}

async function take(descriptor: number, wait: boolean, signal: AbortSignal): Promise<boolean> {
	for (const [program, ...args] of wait ? WAITING : AT_ONCE) {
		const code = await run(program as string, args, descriptor, signal);
		if (code === 0) return true;
		if (code === null) continue; // not installed
		if (code === BUSY) return false;
		signal.throwIfAborted();
		throw new Error(`${program} ended with ${code}`);
	}
	throw new Error("neither flock (of util-linux) nor perl is installed");
}

/** A descriptor of the file that was open when this process began. */
function inheritedDescriptor(file: BigIntStats): number | null {
	let names: string[] = [];
	try {
		names = readdirSync("/dev/fd");
	} catch {
		return null; // no such thing here
	}
	for (const descriptor of names.map(Number).filter((number) => number > 2)) {
		const stats = statsOf(() => fstatSync(descriptor, { bigint: true }));
		if (stats !== null && keyOf(stats) === keyOf(file) && !isOurs(descriptor)) return descriptor;
	}
	return null;
}

/** True if it was opened for both reading and writing, as we do, and neither setlock nor flock. */
function isOurs(descriptor: number): boolean {
	try {
		writeSync(descriptor, NOTHING);
		readSync(descriptor, Buffer.alloc(1), 0, 1, 0);
		return true;
	} catch {
		return false;
	}
}

function keyOf({ dev, ino }: BigIntStats): string {
	return `${dev}:${ino}`;
}

function statsOf(call: () => BigIntStats): BigIntStats | null {
	try {
		return call();
	} catch {
		return null;
	}
}

/** Runs a helper with the descriptor as its standard input. @returns Null if there is no such program. */
async function run(
	program: string,
	args: readonly string[],
	descriptor: number,
	signal: AbortSignal,
): Promise<number | string | null> {
	const child = spawn(program, args, { stdio: [descriptor, "ignore", "inherit"] });
	const kill = () => child.kill();
	signal.addEventListener("abort", kill);
	try {
		const [code, by] = (await once(child, "exit")) as [number | null, string];
		return code ?? by;
	} catch (error) {
		if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
		throw error;
	} finally {
		signal.removeEventListener("abort", kill);
	}
}

/** The files whose locks this thread has, or is about to take: one set, however many copies of this module there are. */
const held = sharedSet(Symbol.for("qmtp.maildir.locks"));

function sharedSet(name: symbol): Set<string> {
	const shared = globalThis as unknown as Record<symbol, Set<string> | undefined>;
	shared[name] ??= new Set();
	return shared[name];
}

const NOTHING = new Uint8Array(0);
// Opening a pipe for one of both would wait for somebody at its other end.
const OPEN = constants.O_RDWR | constants.O_CREAT | constants.O_APPEND | (constants.O_NONBLOCK ?? 0);

const BUSY = 1;
const AT_ONCE: readonly (readonly string[])[] = [
	["flock", "-x", "-n", "0"],
	[
		"perl",
		"-e",
		`use Fcntl ":flock"; exit(flock(STDIN, LOCK_EX | LOCK_NB) ? 0 : $!{EWOULDBLOCK} ? ${BUSY} : 2)`,
	],
];
const WAITING: readonly (readonly string[])[] = [
	["flock", "-x", "0"],
	["perl", "-e", 'use Fcntl ":flock"; exit(flock(STDIN, LOCK_EX) ? 0 : 2)'],
];

/**
 * Descriptors 0 and 1 as one connection, as UCSPI programs get it: under tcpserver both are the same socket; in tests
 * and pipelines they are two pipes, files or terminals.
 */
import { createWriteStream, fstatSync, type Stats } from "node:fs";
import { Socket } from "node:net";
import { Duplex, type Readable, type Writable } from "node:stream";

/** The connection. Half-closing works in both directions, and nothing of it blocks the process. */
export function connectionOfDescriptors(): Duplex {
	const [input, output] = [fstatSync(0), fstatSync(1)];
	if (input.isSocket() && input.ino === output.ino && input.dev === output.dev) {
		return new Socket({ fd: 0, ...SOCKET_OPTIONS }).setNoDelay(true);
	}
	return Duplex.from({ readable: readable(input), writable: writable(output) });
}

/** Whether descriptor 2 is the connection too, as inetd makes it: what is written there the client would read. */
export function errorsGoToClient(): boolean {
	const [input, errors] = [fstatSync(0), fstatSync(2)];
	return input.isSocket() && input.ino === errors.ino && input.dev === errors.dev;
}

function readable(stats: Stats): Readable {
	if (!isPipe(stats)) return process.stdin;
	return new Socket({ fd: 0, readable: true, writable: false, ...SOCKET_OPTIONS });
}

function writable(stats: Stats): Writable {
	// Node writes to a pipe that is process.stdout synchronously: whoever does not read it would stop the clock too.
	if (isPipe(stats)) return new Socket({ fd: 1, readable: false, writable: true });
	return stats.isFile() ? createWriteStream("", { fd: 1 }) : process.stdout;
}

function isPipe(stats: Stats): boolean {
	return stats.isSocket() || stats.isFIFO();
}

// Node 20's own is 16 KiB, less than one read of a socket.
const SOCKET_OPTIONS = { allowHalfOpen: true, highWaterMark: 256 * 1024 };

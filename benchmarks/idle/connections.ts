/**
 * Many connections to one port, which do nothing once they are made. Each source address has ports of its own for them, so
 * several are used where the whole of 127.0.0.0/8 is this host, as on Linux.
 */
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { connect, type Socket } from "node:net";

/** Makes `count` connections, some at a time. They are told to read; who wants to look at that adds listeners. */
export async function connectMany(port: number, count: number): Promise<Socket[]> {
	const sockets: Socket[] = [];
	let next = 0;
	const work = async () => {
		while (next < count) {
			const number = next++;
			const local = process.platform === "linux" ? { localAddress: `127.0.0.${1 + (number % SOURCES)}` } : {};
			const socket = connect({ port, host: "127.0.0.1", ...local });
			await once(socket, "connect");
			socket.on("error", () => {}); // of its reset
			sockets.push(socket.resume());
		}
	};
	await Promise.all(Array.from({ length: AT_ONCE }, work));
	return sockets;
}

/** Ends them by a reset, so that no port is kept waiting. */
export async function resetAll(sockets: readonly Socket[]): Promise<void> {
	await Promise.all(
		sockets.map((socket) => {
			const closed = once(socket, "close");
			socket.resetAndDestroy();
			return closed;
		}),
	);
}

/** How many connections a process of this host can have, with some descriptors left for other things. */
export function mostConnections(): number {
	if (process.platform !== "linux") return Number.POSITIVE_INFINITY;
	// Node raises its limit to the hard one when it starts.
	const [, soft = "0"] = /^Max open files\s+(\S+)/m.exec(readFileSync("/proc/self/limits", "latin1")) ?? [];
	return soft === "unlimited" ? Number.POSITIVE_INFINITY : Number(soft) - SPARE_DESCRIPTORS;
}

const SOURCES = 8;
const AT_ONCE = 200;
const SPARE_DESCRIPTORS = 200;

/**
 * A link with a long way: a proxy that hands on each byte some time after it came. Opening a connection takes a round
 * trip, as it would: what the client sends at first waits for it.
 */
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { onTestFinished } from "vitest";

/** A proxy in front of a server on this machine. */
export interface DelayedLink {
	readonly port: number;
	/** Connections that were made. */
	readonly connections: number;
	/** Round trips from when the first connection was asked for to the last byte that the client got, by its clock. */
	readonly roundTrips: number;
}

/** Starts one, which is closed when the test is over. @param delay - One way, in milliseconds. */
export async function delayedLink(serverPort: number, delay: number): Promise<DelayedLink> {
	const sockets = new Set<Socket>();
	let connections = 0;
	let first = 0;
	let last = 0;
	const listener = createServer({ allowHalfOpen: true, noDelay: true }, (client) => {
		const opened = performance.now();
		if (connections++ === 0) first = opened;
		const server = connect({ host: "127.0.0.1", port: serverPort, allowHalfOpen: true, noDelay: true });
		for (const socket of [client, server]) {
			sockets.add(socket);
			socket.on("error", () => socket.destroy());
		}
		relay(client, server, delay, opened + 3 * delay, () => {});
		relay(server, client, delay, opened, () => {
			last = performance.now();
		});
	});
	await new Promise<void>((resolve) => listener.listen(0, "127.0.0.1", resolve));
	onTestFinished(async () => {
		for (const socket of sockets) socket.destroy();
		await new Promise((resolve) => listener.close(resolve));
	});
	return {
		port: (listener.address() as AddressInfo).port,
		get connections() {
			return connections;
		},
		get roundTrips() {
			return (last - first) / (2 * delay);
		},
	};
}

/** Hands on what comes, `delay` later, and not before `earliest`. */
function relay(from: Socket, to: Socket, delay: number, earliest: number, handed: () => void): void {
	const waiting: (() => void)[] = [];
	const later = (act: () => void) => {
		waiting.push(act);
		// Timers of different lengths may change places: each takes what has waited longest.
		setTimeout(() => waiting.shift()?.(), Math.max(delay, earliest - performance.now()));
	};
	from.on("data", (chunk) =>
		later(() => {
			if (!to.destroyed) to.write(chunk);
			handed();
		}),
	);
	from.on("end", () => later(() => to.end()));
}

/** Restarts of a server, one after the other, in two ways. */
import type { HeldServer, SocketHolder } from "./holder.js";

/** How a server is restarted. */
export type RestartWay =
	/** The new one is started, and when it is ready the old one is told to end: by `--fd`. */
	| "overlap"
	/** The old one ends, then the new one is started; meanwhile clients wait in the socket's queue: as systemd does it. */
	| "in turn";

/** Restarts it. @param restarted - Called after each time. @returns The server that runs then. */
export async function restart(
	holder: SocketHolder,
	first: HeldServer,
	{ way, times, restarted }: { way: RestartWay; times: number; restarted?: () => Promise<void> | void },
): Promise<HeldServer> {
	let server = first;
	for (let count = 0; count < times; count++) {
		const old = server;
		if (way === "overlap") {
			server = await holder.start("fd");
			await ends(old);
		} else {
			await ends(old);
			server = await holder.start("systemd");
		}
		await restarted?.();
	}
	return server;
}

async function ends(server: HeldServer): Promise<void> {
	const code = await server.end();
	if (code !== 0) throw new Error(`a server that was told to end has ended with ${code}`);
}

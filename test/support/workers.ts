/** The processes of `qmtp serve --workers`, and clients of it. */
import { existsSync, readFileSync } from "node:fs";
import { connect } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { TestClient } from "./server-client.js";

/** The numbers of the processes that a process has started, and that run. */
export function childrenOf(pid: number | undefined): number[] {
	const path = `/proc/${pid}/task/${pid}/children`;
	if (!existsSync(path)) return [];
	return readFileSync(path, "latin1").trim().split(" ").filter(Boolean).map(Number);
}

/** kill -9, of a process that may just have ended. */
export function killHard(pid: number): void {
	try {
		process.kill(pid, "SIGKILL");
	} catch (error) {
		if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
	}
}

/** Resolves when the process has ended. */
export async function processEnds(pid: number): Promise<void> {
	while (runs(pid)) await sleep(10); // nobody but its parent is told
}

/** False also for one that nobody has asked about since its end. */
function runs(pid: number): boolean {
	try {
		return !/\) Z /.test(readFileSync(`/proc/${pid}/stat`, "latin1"));
	} catch {
		return false;
	}
}

/** A client from an address of this host. It is there when it was answered, and null if it was turned away. */
export async function admitted(port: number, from: string, text: string): Promise<TestClient | null> {
	const socket = connect({ port, host: "127.0.0.1", localAddress: from, allowHalfOpen: true });
	const client = new TestClient(socket);
	client.send(text);
	await client.changes.until(
		() => client.responses.length > 0 || client.ended || client.closed || client.error !== null,
	);
	if (client.responses.length > 0) return client;
	socket.destroy();
	return null;
}

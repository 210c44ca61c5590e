/** A `qmtp serve` that is watched: its memory and its descriptors, as the system tells them. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { DOMAIN, LARGEST_TAKEN } from "./turn.js";

/** What a server process holds. */
export interface Holding {
	/** Resident memory in bytes. */
	readonly memory: number;
	readonly descriptors: number;
}

/** A server process. */
export class SoakServer {
	readonly name: string;
	readonly port: number;
	/** What it held at each time when nobody was connected, the first one before anybody came. */
	readonly quiet: Holding[] = [];
	readonly #process: ChildProcess;

	private constructor(name: string, process: ChildProcess, port: number) {
		this.name = name;
		this.#process = process;
		this.port = port;
		this.quiet.push(this.holding());
	}

	/** Starts one. @param queue - As in `--queue`. */
	static async start(name: string, queue: string): Promise<SoakServer> {
		const args = [
			"serve",
			"--port",
			"0",
			"--queue",
			queue,
			"--accept",
			DOMAIN,
			"--relay-from",
			"192.0.2.1/32",
		];
		// The connection of a client that has gone counts until the queue is done with its mail.
		args.push("--max-message-bytes", String(LARGEST_TAKEN), "--max-connections", "1000");
		// In a group of its own, so that Ctrl-C does not reach it.
		const child = spawn(process.execPath, [MAIN, ...args], {
			stdio: ["ignore", "pipe", "ignore"],
			detached: true,
		});
		process.on("exit", () => child.kill("SIGKILL"));
		const [text] = await Promise.race([once(child.stdout, "data"), once(child, "exit")]);
		const port = /listening on .*:(\d+)/.exec(String(text))?.[1];
		if (port === undefined) throw new Error(`the server did not start: ${text}`);
		return new SoakServer(name, child, Number(port));
	}

	/** True until it has ended. */
	get runs(): boolean {
		return this.#process.exitCode === null && this.#process.signalCode === null;
	}

	/** What it holds now. */
	holding(): Holding {
		const proc = `/proc/${this.#process.pid}`;
		const [, kilobytes] = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`${proc}/status`, "utf8")) ?? [];
		return { memory: Number(kilobytes) * 1024, descriptors: readdirSync(`${proc}/fd`).length };
	}

	/** Waits until it has as few descriptors as at its start, for a time; notes and returns what it holds then. */
	async settle(): Promise<Holding> {
		const [first] = this.quiet as [Holding];
		const until = Date.now() + SETTLE_MS;
		while (this.holding().descriptors > first.descriptors && Date.now() < until) await sleep(50);
		const holding = this.holding();
		this.quiet.push(holding);
		return holding;
	}

	/** Ends it as an operator would. @returns Its exit code, or null if it had to be killed. */
	async stop(): Promise<number | null> {
		if (!this.runs) return this.#process.exitCode;
		const exit = once(this.#process, "exit");
		this.#process.kill("SIGTERM");
		const timer = setTimeout(() => this.#process.kill("SIGKILL"), SETTLE_MS);
		const [code] = await exit;
		clearTimeout(timer);
		return code as number | null;
	}
}

const MAIN = fileURLToPath(new URL("../../../dist/cli/main.js", import.meta.url));
// More than the 5 s for which a server waits for a client to close its side.
const SETTLE_MS = 10_000;

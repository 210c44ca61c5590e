/**
 * `qmtp serve --workers 2` beside `qmtp serve` in one process: messages of 1 KiB over four connections, thrown away. What
 * counts is how many messages there are for each second of processor time, since that is what sharing costs.
 *
 * What it defends against:
 * - A worker that does nothing: how much of the work each did stands beside the figure.
 * - Clients that take the processors from the workers: with two cores the clock tells little here, and is printed only.
 * - Processes that are not counted: the time is that of the primary and all its children, as the system tells it.
 * - Answers that are no K: the client looks at each.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { repeated, smallPackage } from "../fixtures/packages.js";
import { sendPrebuilt } from "../loopback/clients.js";
import { benchmarkOptions } from "../options.js";
import { figure, printTable, printTitle, spread } from "../report.js";
import { record } from "../results.js";
import { inTurns, ratios, samplesOf } from "../rounds.js";
import { holdTo } from "../target.js";

const MAIN = fileURLToPath(new URL("../../../dist/cli/main.js", import.meta.url));
const CONNECTIONS = 4;
const IN_CHUNK = 64;
const MESSAGES = 256 * 1024;
const chunks = [repeated(smallPackage(1024), IN_CHUNK)];

/** One server, whatever processes it has. */
class Server {
	readonly #process: ChildProcess;
	readonly port: number;
	/** Processor seconds of each process in the last run, the busiest first. */
	shares: readonly number[] = [];
	readonly perSecond: number[] = [];

	private constructor(process: ChildProcess, port: number) {
		this.#process = process;
		this.port = port;
	}

	static async start(...args: readonly string[]): Promise<Server> {
		const common = ["serve", "--port", "0", "--queue", "discard:", "--max-connections", "100"];
		const child = spawn(process.execPath, [MAIN, ...common, ...args], {
			stdio: ["ignore", "pipe", "ignore"],
		});
		process.on("exit", () => child.kill());
		const [text] = await Promise.race([once(child.stdout, "data"), once(child, "exit")]);
		const port = /listening on .*:(\d+)/.exec(String(text))?.[1];
		if (port === undefined) throw new Error(`the server did not start: ${text}`);
		return new Server(child, Number(port));
	}

	/** Messages for each second of processor time. */
	async run(): Promise<number> {
		const before = this.#seconds();
		const started = performance.now();
		const times = MESSAGES / CONNECTIONS / IN_CHUNK;
		const sent = Array.from({ length: CONNECTIONS }, () => sendPrebuilt(this.port, chunks, times));
		const answers = (await Promise.all(sent)).reduce((sum, count) => sum + count, 0);
		if (answers !== MESSAGES) throw new Error(`${answers} answers to ${MESSAGES} messages`);
		this.perSecond.push(MESSAGES / ((performance.now() - started) / 1000));
		const after = this.#seconds();
		this.shares = [...after].map(([id, seconds]) => seconds - (before.get(id) ?? 0)).sort((a, b) => b - a);
		return MESSAGES / this.shares.reduce((sum, seconds) => sum + seconds, 0);
	}

	async stop(): Promise<void> {
		this.#process.kill("SIGTERM");
		await once(this.#process, "exit");
	}

	/** Processor seconds of the process and its children, by their ids. Source: proc_pid_stat(5). */
	#seconds(): Map<number, number> {
		const all = new Map<number, number>();
		for (const name of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
			const stat = statOf(name);
			const [, parent] = stat;
			if (Number(name) !== this.#process.pid && Number(parent) !== this.#process.pid) continue;
			all.set(Number(name), (Number(stat[11]) + Number(stat[12])) / TICKS);
		}
		return all;
	}
}

/** The fields behind the name, from the state on; none of a process that has gone. */
function statOf(id: string): readonly string[] {
	try {
		return readFileSync(`/proc/${id}/stat`, "utf8")
			.replace(/^.*\) /, "")
			.split(" ");
	} catch {
		return [];
	}
}

const TICKS = 100; // a second, on Linux wherever Node runs

const ONE = "one process";
const TWO = "two workers";
const { rounds } = benchmarkOptions({ rounds: 5 });
printTitle(`workers: messages of 1 KiB over ${CONNECTIONS} connections into qmtp serve`, rounds);
const one = await Server.start();
const two = await Server.start("--workers", "2");
const samples = await inTurns(
	[
		{ name: ONE, run: () => one.run() },
		{ name: TWO, run: () => two.run() },
	],
	rounds,
);
const row = (name: string, server: Server) => {
	const unit = "messages/s of CPU";
	record({ benchmark: "workers", name, unit, samples: samplesOf(samples, name), better: "higher" });
	const shares = server.shares.map((seconds) => seconds.toFixed(2)).join(" + ");
	return [name, spread(samplesOf(samples, name)), spread(server.perSecond.slice(-rounds), figure), shares];
};
printTable([
	["", "messages for each second of CPU", "messages/s", "CPU of the last run, s"],
	row(ONE, one),
	row(TWO, two),
]);
console.log();
const perSecond = ratios(samples, TWO, ONE);
holdTo({ benchmark: "workers", name: "two workers to one process", samples: perSecond, atLeast: 0.9 });
await one.stop();
await two.stop();

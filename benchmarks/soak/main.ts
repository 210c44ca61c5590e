/**
 * `qmtp serve` under clients of all kinds, for as long as one likes: nothing acknowledged is missing, and nothing grows.
 *
 * Two servers run all the time, one with a maildir and one that discards. They have their turns one after the other:
 * for some seconds a process of polite clients and one of rough ones work on it; then all have gone, what the server
 * holds is noted, and the maildir is compared with what was acknowledged and emptied.
 */
import { fork } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { printTable } from "../report.js";
import { growthOf, MOST_DESCRIPTORS, MOST_MEMORY, WARM_UP } from "./growth.js";
import { newSeed, Random } from "./random.js";
import { type Holding, SoakServer } from "./server.js";
import { checkStored } from "./stored.js";
import { type Counts, Tally } from "./tally.js";
import type { TurnOptions } from "./turn.js";

/** What a run can be told. */
export interface SoakOptions {
	readonly minutes: number;
	readonly seed?: number | undefined;
}

/** Runs it, and says on stdout what happens. @returns True if all was well. */
export async function soak({ minutes, seed = newSeed() }: SoakOptions): Promise<boolean> {
	console.log(`soak: ${minutes} min, --seed ${seed}`);
	const stop = new AbortController();
	for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => stop.abort());
	const folder = mkdtempSync(join(tmpdir(), "qmtp-soak-"));
	process.on("exit", () => rmSync(folder, { recursive: true, force: true, maxRetries: 3 }));
	const maildir = join(folder, "mail");
	const servers = await Promise.all([
		SoakServer.start("maildir", `maildir:${maildir}`),
		SoakServer.start("discard", "discard:"),
	]);
	const total = new Tally();
	const report = new Report(total, servers);
	const random = new Random(seed);
	const until = Date.now() + minutes * 60_000;
	const milliseconds = Math.min(Math.max((minutes * 60_000) / TURNS, SHORTEST_TURN_MS), LONGEST_TURN_MS);
	const isOver = () => {
		const wait = servers.every(({ quiet }) => growthOf(quiet) !== null) ? 0 : LONGEST_EXTENSION_MS;
		return stop.signal.aborted || Date.now() >= until + wait;
	};
	for (let number = 0; !isOver(); number++) {
		const server = servers[number % servers.length] as SoakServer;
		const isWarmUp = number < WARM_UP * servers.length;
		const options = {
			port: server.port,
			milliseconds: isWarmUp ? Math.max(milliseconds, WARM_UP_TURN_MS) : milliseconds,
			name: `t${number}`,
		};
		const turns = (["polite", "rough"] as const).map((kind) => {
			const name = `${options.name}${kind.slice(0, 1)}`;
			return runClients(kind, { ...options, name, seed: random.between(0, 2 ** 31) }, stop.signal);
		});
		const tallies = await Promise.all(turns);
		for (const tally of tallies) total.add(tally);
		if (!server.runs) {
			total.fail(`the server ended: ${server.name}`);
			break;
		}
		await server.settle();
		if (server.name === "maildir") {
			const accepted = tallies.flatMap((tally) => tally.accepted);
			checkStored(maildir, accepted, total);
		}
	}
	const codes = await Promise.all(servers.map((server) => server.stop()));
	for (const code of codes) if (code !== 0) total.fail(`a server ended with ${code}`);
	return report.end();
}

/** Runs a process of clients. What goes wrong with it is in its tally. */
async function runClients(kind: "polite" | "rough", options: TurnOptions, stop: AbortSignal): Promise<Tally> {
	const child = fork(new URL("./clients.js", import.meta.url), [kind, JSON.stringify(options)]);
	const end = () => child.connected && child.send("end");
	stop.addEventListener("abort", end);
	if (stop.aborted) end();
	const timer = setTimeout(() => child.kill("SIGKILL"), options.milliseconds + PATIENCE_MS);
	let tally = new Tally();
	child.on("message", (json) => {
		tally = Tally.from(json as Tally);
	});
	const [code, signal] = await once(child, "exit");
	clearTimeout(timer);
	stop.removeEventListener("abort", end);
	if (code !== 0) tally.fail(`the ${kind} clients ended with ${signal ?? code}`);
	return tally;
}

/** What is printed. */
class Report {
	readonly #total: Tally;
	readonly #servers: readonly SoakServer[];
	readonly #started = Date.now();
	readonly #timer = setInterval(() => this.#now(), EVERY_MS);

	constructor(total: Tally, servers: readonly SoakServer[]) {
		this.#total = total;
		this.#servers = servers;
	}

	/** Prints a line. */
	#now(): void {
		const { counts, wrong } = this.#total;
		const holdings = this.#servers.map(({ name, quiet }) => `${name} ${show(quiet.at(-1))}`);
		const seconds = Math.round((Date.now() - this.#started) / 1000);
		console.log(
			`${String(seconds).padStart(6)} s  K ${counts[ACCEPTED] ?? 0}, D ${counts[REJECTED] ?? 0}; ${holdings.join("; ")}`,
		);
		for (const [text, count] of Object.entries(wrong)) console.log(`          WRONG ${count} x ${text}`);
	}

	/** Prints the summary. @returns True if nothing is wrong. */
	end(): boolean {
		clearInterval(this.#timer);
		for (const server of this.#servers) this.#judge(server);
		const { counts, wrong } = this.#total;
		printCounts("what happened", counts);
		printTable([
			["what the servers held, idle", "at the start", "warm", "in the middle", "at the end", "growth"],
			...this.#servers.map(({ name, quiet }) => {
				const growth = growthOf(quiet);
				const at = [quiet[0], quiet[WARM_UP], quiet[Math.floor(quiet.length / 2)], quiet.at(-1)];
				return [name, ...at.map(show), growth === null ? "too short to tell" : show(growth)];
			}),
		]);
		if (Object.keys(wrong).length > 0) printCounts("WRONG", wrong);
		else console.log("\nall was well");
		return Object.keys(wrong).length === 0;
	}

	#judge({ name, quiet }: SoakServer): void {
		const growth = growthOf(quiet);
		if (growth === null) return;
		if (growth.memory > MOST_MEMORY) this.#total.fail(`the memory of the server grew: ${name}`);
		if (growth.descriptors > MOST_DESCRIPTORS)
			this.#total.fail(`the descriptors of the server grew: ${name}`);
	}
}

function printCounts(title: string, counts: Counts): void {
	console.log(`\n${title}`);
	const names = Object.keys(counts).sort();
	for (const name of names) console.log(`${String(counts[name]).padStart(10)}  ${name}`);
}

function show(holding: Holding | undefined): string {
	if (holding === undefined) return "-";
	return `${(holding.memory / 1024 / 1024).toFixed(1)} MiB, ${holding.descriptors} fd`;
}

const TURNS = 30; // of all servers together, if they are neither too short nor too long
const SHORTEST_TURN_MS = 1000;
const WARM_UP_TURN_MS = 4000; // at least: shorter ones leave some of the heap's growth to what is counted
const LONGEST_EXTENSION_MS = 60_000; // for machines that are too slow to tell growth in a minute
const LONGEST_TURN_MS = 10_000;
const [ACCEPTED, REJECTED] = ["K", "D"] as const;
const EVERY_MS = 10_000;
const PATIENCE_MS = 60_000; // for answers that are due, at the end of a turn

/**
 * `qmtp serve` over a Maildir, restarted again and again while clients send: with an overlap, in which the new server
 * listens on the same socket before the old one is told to end, and in turn, as systemd does it, in which clients wait in
 * the socket's queue until the new one is there.
 *
 * What it defends against:
 * - A restart that nobody noticed since nobody sent: each is followed by answers of the new server before the next.
 * - Gaps that hide in an average: what counts is the longest time that one client was without an answer, around each
 *   restart, and the median and range of those.
 * - Loss: at the end every message that had a K must be in the Maildir, whole. A refused connection, or a loss, is a
 *   failure of the benchmark.
 * - The machine: how long Node takes to start is most of the gap in turn. It is one process that all clients share, and
 *   beside them two servers at a time; with two cores they wait for each other.
 */
import { readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { temporaryFolder } from "../folder.js";
import { benchmarkOptions } from "../options.js";
import { printTable, printTitle, spread } from "../report.js";
import { record } from "../results.js";
import { readChecked } from "../soak/checked-mail.js";
import { newSeed, Random } from "../soak/random.js";
import { SocketHolder } from "./holder.js";
import { RestartLoad } from "./load.js";
import { type RestartWay, restart } from "./restarts.js";

const MAIN = fileURLToPath(new URL("../../../dist/cli/main.js", import.meta.url));
const CLIENTS = 4;
const AT_ONCE = 5;
const WAYS: readonly RestartWay[] = ["overlap", "in turn"];

const { rounds } = benchmarkOptions({ rounds: 20 });
const folder = temporaryFolder();
printTitle(`restart: ${CLIENTS} clients, ${AT_ONCE} messages of each under way, one restart a round`, rounds);
const rows = [
	["", "restarts", "accepted", "sent again", "stored twice", "refused", "lost", "longest gap, ms"],
];
let failed = false;
for (const way of WAYS) {
	const { load, lost, twice, gaps } = await measure(way);
	const figures = [load.accepted.length, load.resent, twice, load.refused.length, lost];
	rows.push([way, String(rounds), ...figures.map((figure) => figure.toLocaleString("en")), spread(gaps)]);
	record({ benchmark: "restart", name: `longest gap, ${way}`, unit: "ms", samples: gaps, better: "lower" });
	failed ||= lost > 0 || load.refused.length > 0 || load.unexpected.length > 0;
}
printTable(rows);
if (failed) throw new Error("clients were refused, or accepted messages were lost");

interface Measured {
	readonly load: RestartLoad;
	/** Messages that had a K, and are not stored. */
	readonly lost: number;
	/** Messages that were stored, and sent again. */
	readonly twice: number;
	/** Of each restart. */
	readonly gaps: readonly number[];
}

/** Restarts a server as often as there are rounds. */
async function measure(way: RestartWay): Promise<Measured> {
	const maildir = join(folder, "mail");
	const holder = await SocketHolder.open([process.execPath, MAIN, "serve", "--queue", `maildir:${maildir}`]);
	process.once("exit", () => holder.kill());
	const first = await holder.start("fd");
	const load = new RestartLoad(holder.port, new Random(newSeed()), AT_ONCE);
	const running = load.run(CLIENTS);
	const someAnswers = () => load.moreAccepted(4 * CLIENTS * AT_ONCE);
	await someAnswers();
	load.takeLongestGap();
	const gaps: number[] = [];
	const last = await restart(holder, first, {
		way,
		times: rounds,
		restarted: async () => {
			await someAnswers();
			gaps.push(load.takeLongestGap());
		},
	});
	load.end();
	await running;
	await last.end();
	await holder.close();
	const names = readdirSync(join(maildir, "new"));
	const stored = new Set(names.map((name) => nameOf(join(maildir, "new", name))));
	rmSync(maildir, { recursive: true });
	const lost = load.accepted.filter((id) => !stored.has(id)).length;
	return { load, lost, twice: names.length - stored.size, gaps };
}

/** The message that a file holds; empty if it is not whole. */
function nameOf(path: string): string {
	const checked = readChecked(readFileSync(path));
	return checked?.whole === true ? checked.id : "";
}

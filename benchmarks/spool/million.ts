/** A spool of a million messages, in a process of its own, beside an empty one in another. */
import { Child } from "../child.js";
import { figure, printTable } from "../report.js";
import { record, recordTarget } from "../results.js";
import { median } from "../rounds.js";

const MESSAGES = 1_000_000;
const ROUNDS = 5;
const MOST_SECONDS = 2;
const MOST_MEBIBYTES = 100;
const LEAST_RATE = 0.8;

/** What a process says of its spool: see holder.ts. */
interface Opened {
	readonly seconds: number;
	/** Anonymous memory, in bytes. */
	readonly growth: number;
	readonly messages: number;
}

/** Measures, prints and records. @param full - A spool that does not exist yet, and so is `empty`. */
export async function measureMillion(full: string, empty: string, benchmark: string): Promise<void> {
	const filler = holder(full);
	await filler.ask("open");
	await filler.ask("fill");
	await filler.stop();

	const [atFull, atEmpty] = [holder(full), holder(empty)];
	const opened = await atFull.ask<Opened>("open");
	if (opened.messages !== MESSAGES) throw new Error(`${opened.messages} messages are in the spool`);
	await atEmpty.ask("open");
	const ratios: number[] = [];
	for (let round = -1; round < ROUNDS; round++) {
		const [first, second] = round % 2 === 0 ? [atFull, atEmpty] : [atEmpty, atFull];
		const rates = new Map([
			[first, await first.ask<number>("rate")],
			[second, await second.ask<number>("rate")],
		]);
		if (round >= 0) ratios.push((rates.get(atFull) as number) / (rates.get(atEmpty) as number));
		await atEmpty.ask("renew");
	}
	const growth = Math.max(opened.growth, await atFull.ask<number>("growth")) / 2 ** 20;
	await atFull.stop();
	await atEmpty.stop();

	const targets = [
		{ name: "opening, seconds", samples: [opened.seconds], atMost: MOST_SECONDS },
		{ name: "growth of RssAnon, MiB", samples: [growth], atMost: MOST_MEBIBYTES },
		{ name: "intake, to an empty spool", samples: ratios, atLeast: LEAST_RATE },
	];
	const rows = [["a spool of a million messages", "", "target", ""]];
	for (const { name, samples, atMost, atLeast } of targets) {
		const value = median(samples);
		const met = atMost === undefined ? value >= (atLeast as number) : value <= atMost;
		const bound = atMost === undefined ? { atLeast: atLeast as number } : { atMost };
		rows.push([
			name,
			figure(value),
			`${atMost === undefined ? "at least" : "at most"} ${atMost ?? atLeast}`,
			met ? "met" : "MISSED",
		]);
		recordTarget({ benchmark, name: `a million messages: ${name}`, value, samples, ...bound, met });
	}
	record({
		benchmark,
		name: "a million messages: opening",
		unit: "s",
		samples: [opened.seconds],
		better: "lower",
	});
	printTable(rows);
}

function holder(path: string): Child {
	return new Child(new URL("./holder.js", import.meta.url), [path, String(MESSAGES)], ["--expose-gc"]);
}

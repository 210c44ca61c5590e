/** What happened, by kind, and what should not have happened. It goes from process to process as JSON. */

/** Counts by name. */
export type Counts = Record<string, number>;

/** What the clients of one turn, or of all turns, have seen. */
export class Tally {
	/** What happened as it should. */
	readonly counts: Counts = {};
	/** What should not have happened. */
	readonly wrong: Counts = {};
	/** The copies that got a K, by name: the message's id and the recipient. */
	accepted: string[] = [];

	/** @param json - What `JSON.stringify` made of another one. */
	static from(json: Pick<Tally, "counts" | "wrong" | "accepted">): Tally {
		const tally = new Tally();
		tally.add(json);
		tally.accepted = json.accepted;
		return tally;
	}

	count(name: string, by = 1): void {
		this.counts[name] = (this.counts[name] ?? 0) + by;
	}

	/** Something that fails the run. @param text - The same for all of its kind. */
	fail(text: string, by = 1): void {
		this.wrong[text] = (this.wrong[text] ?? 0) + by;
	}

	/** Adds the counts of another one. */
	add({ counts, wrong }: Pick<Tally, "counts" | "wrong">): void {
		for (const [name, by] of Object.entries(counts)) this.count(name, by);
		for (const [text, by] of Object.entries(wrong)) this.fail(text, by);
	}
}

/** Something that happens once, and that a test waits for. */
export class Signal {
	readonly given: Promise<void>;
	readonly give: () => void;

	constructor() {
		let give = () => {};
		this.given = new Promise((resolve) => {
			give = resolve;
		});
		this.give = give;
	}
}

/** Waiting for what a test made happen: no sleeps, and a test that waits in vain fails by vitest's own time limit. */

/** Lets tests wait until something is so. Whoever changes it calls `notify()`. */
export class Signal {
	readonly #waiting = new Set<() => void>();

	notify(): void {
		for (const check of [...this.#waiting]) check();
	}

	/** Resolves when the condition holds, now or after one of the next calls of `notify()`. */
	until(condition: () => boolean): Promise<void> {
		return new Promise((resolve, reject) => {
			const check = () => {
				try {
					if (!condition()) return;
					resolve();
				} catch (error) {
					reject(error);
				}
				this.#waiting.delete(check);
			};
			this.#waiting.add(check);
			check();
		});
	}
}

/** A promise that the test settles. */
export class Gate<T = void> {
	open!: (value: T) => void;
	fail!: (reason: unknown) => void;
	readonly promise: Promise<T> = new Promise((resolve, reject) => {
		this.open = resolve;
		this.fail = reject;
	});
}

/** Lets the event loop turn some times: all that can happen without new input has happened then. */
export async function turns(count = 20): Promise<void> {
	for (let turn = 0; turn < count; turn++) await new Promise((resolve) => setImmediate(resolve));
}

/** The number of bytes or items, when it has not changed for a hundred turns of the event loop. */
export async function settled(value: () => number): Promise<number> {
	for (let before = Number.NaN; ; before = value()) {
		if (value() === before) return before;
		await turns(100);
	}
}

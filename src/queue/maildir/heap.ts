/** A heap: things with a time, of which the earliest is at hand. */

/** Something that has its time. */
export interface Due {
	/** ms since 1970. */
	readonly dueAt: number;
}

/** A binary heap. */
export class Heap<T extends Due> {
	readonly #items: T[] = [];

	/** The one that is due first. */
	get first(): T | undefined {
		return this.#items[0];
	}

	push(item: T): void {
		const items = this.#items;
		let at = items.length;
		for (; at > 0; ) {
			const above = (at - 1) >> 1;
			const parent = items[above] as T;
			if (parent.dueAt <= item.dueAt) break;
			items[at] = parent;
			at = above;
		}
		items[at] = item;
	}

	/** Takes out the one that is due first. */
	shift(): void {
		const items = this.#items;
		const last = items.pop();
		if (last === undefined || items.length === 0) return;
		let at = 0;
		for (;;) {
			let below = 2 * at + 1;
			if (below >= items.length) break;
			if (below + 1 < items.length && (items[below + 1] as T).dueAt < (items[below] as T).dueAt) below++;
			const child = items[below] as T;
			if (last.dueAt <= child.dueAt) break;
			items[at] = child;
			at = below;
		}
		items[at] = last;
	}
}

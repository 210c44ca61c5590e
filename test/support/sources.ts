/** Sources of bytes that count what is asked of them. */

/** Chunks as an async iterable that counts: how many were pulled, and whether its end was asked for. */
export class CountingSource implements AsyncIterable<Uint8Array> {
	/** Chunks given out. */
	pulled = 0;
	/** Times that `return()` was called. */
	returned = 0;
	readonly #chunks: Iterator<Uint8Array>;

	constructor(chunks: Iterable<Uint8Array>) {
		this.#chunks = chunks[Symbol.iterator]();
	}

	[Symbol.asyncIterator](): AsyncIterator<Uint8Array> {
		return {
			next: async () => {
				const result = this.#chunks.next();
				if (!result.done) this.pulled++;
				return result;
			},
			return: async () => {
				this.returned++;
				return { done: true, value: undefined };
			},
		};
	}
}

/** Chunks as a ReadableStream that counts, and holds no chunk ready. */
export function countingStream(chunks: Iterable<Uint8Array>): {
	stream: ReadableStream<Uint8Array>;
	counted: { pulled: number; cancelled: unknown[] };
} {
	const iterator = chunks[Symbol.iterator]();
	const counted = { pulled: 0, cancelled: [] as unknown[] };
	const stream = new ReadableStream<Uint8Array>(
		{
			pull(controller) {
				const result = iterator.next();
				if (result.done) return controller.close();
				counted.pulled++;
				controller.enqueue(result.value);
			},
			cancel(reason) {
				counted.cancelled.push(reason);
			},
		},
		{ highWaterMark: 0 },
	);
	return { stream, counted };
}

/** Lets everything that waits for nothing but promises run. */
export async function settle(): Promise<void> {
	await new Promise((resolve) => setImmediate(resolve));
}

/**
 * A queue in front of another that tells it the length of each message: so a test that does not know it can make a message
 * go the way of those whose length is known. It keeps what is written until the commit or the abort.
 */
import type { Delivery, Queue } from "../../src/queue/queue.js";

/** @param more - How many bytes more are announced for a message that will be aborted. */
export function announced(queue: Queue, more = 1_000_000): Queue {
	return {
		...(queue.lines === undefined ? {} : { lines: queue.lines }),
		open(message): Delivery {
			let pieces: Uint8Array[] = [];
			let inner: Promise<Delivery> | null = null;
			const pass = (extra: number): Promise<Delivery> => {
				inner ??= (async () => {
					const length = pieces.reduce((sum, { length }) => sum + length, extra);
					const delivery = await queue.open({ ...message, length, exact: true });
					for (const piece of pieces) await delivery.write(piece);
					pieces = [];
					return delivery;
				})();
				return inner;
			};
			return {
				write: (bytes) => void pieces.push(bytes),
				commit: async (envelope) => (await pass(0)).commit(envelope),
				abort: async (reason) => (await pass(more)).abort(reason),
			};
		},
		close: async () => queue.close?.(),
	};
}

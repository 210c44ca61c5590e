/** Sources of messages that hang, fail or go on for ever, and that tell whether they were let go of. */
import { Readable } from "node:stream";
import type { Message } from "../../src/client/message.js";
import { Gate, Signal } from "./server-signal.js";

/** A source as one of the kinds that a client takes. */
export interface TestSource {
	readonly message: Message;
	/** Resolves when its first chunks were read and more is asked for. */
	readonly asked: Promise<void>;
	/** Resolves when it was let go of. */
	readonly released: Promise<void>;
	/** Goes on after `chunks`: with the rest of them, then with an end or a failure. */
	readonly more: Gate<Uint8Array[]>;
}

/** The kinds of streams. */
export const STREAM_KINDS = ["Readable", "ReadableStream", "generator", "iterator"] as const;
/** One of them. */
export type StreamKind = (typeof STREAM_KINDS)[number];

/** A source that gives `chunks`, and then nothing until the test says so. */
export function hangingSource(kind: StreamKind, chunks: readonly Uint8Array[]): TestSource {
	const asked = new Gate();
	const released = new Gate();
	const more = new Gate<Uint8Array[]>();
	more.promise.catch(() => {}); // the source may be let go of before it waits for this
	async function* generate(): AsyncGenerator<Uint8Array> {
		try {
			yield* chunks;
			asked.open();
			yield* await more.promise;
		} finally {
			released.open();
		}
	}
	const generator = generate();
	const source = { asked: asked.promise, released: released.promise, more };
	switch (kind) {
		case "generator":
			return { ...source, message: generator };
		case "iterator": {
			const iterator = {
				next: () => generator.next(),
				return: async () => {
					released.open();
					return { done: true as const, value: undefined };
				},
			};
			return { ...source, message: { [Symbol.asyncIterator]: () => iterator } };
		}
		case "Readable":
			return { ...source, message: readable(generator, released) };
		case "ReadableStream":
			return { ...source, message: webStream(generator, released) };
	}
}

/** Chunks without an end, until it is let go of. */
export class EndlessSource implements AsyncIterable<Uint8Array> {
	/** Chunks given. */
	given = 0;
	released = false;
	readonly changes = new Signal();

	async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
		try {
			for (;;) {
				this.given++;
				this.changes.notify();
				yield Buffer.from("line\n");
				await new Promise((resolve) => setImmediate(resolve));
			}
		} finally {
			this.released = true;
			this.changes.notify();
		}
	}
}

function readable(generator: AsyncGenerator<Uint8Array>, released: Gate): Readable {
	return new Readable({
		read() {
			generator.next().then(
				({ done, value }) => this.push(done ? null : value),
				(error) => this.destroy(error),
			);
		},
		destroy(error, callback) {
			released.open();
			callback(error);
		},
	});
}

function webStream(generator: AsyncGenerator<Uint8Array>, released: Gate): ReadableStream<Uint8Array> {
	return new ReadableStream<Uint8Array>(
		{
			async pull(controller) {
				const { done, value } = await generator.next();
				if (done) controller.close();
				else controller.enqueue(value);
			},
			cancel: () => released.open(),
		},
		{ highWaterMark: 0 },
	);
}

/** A spool that is written to, where `spool()` reads: for a body that is pushed. */
import type { Body } from "../../body/body.js";
import { spool } from "../../body/spool.js";

/** A body on its way into a spool. What goes wrong there is thrown by the next write, and by `end()`. */
export class SpoolWriter {
	readonly #body: Promise<Body>;
	readonly #writer: WritableStreamDefaultWriter<Uint8Array>;
	#aborted = false;

	/** @param memory - How many bytes are held before a file is used. */
	constructor(memory: number) {
		const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>();
		this.#writer = writable.getWriter();
		this.#writer.closed.catch(ignore); // each failure is also that of a write, or of the spool
		this.#body = spool(readable, { memory });
		this.#body.catch(ignore);
	}

	/** Takes bytes. Resolves when more may come; after an abort it does so at once, and they are dropped. */
	async write(bytes: Uint8Array): Promise<void> {
		try {
			await this.#writer.write(bytes);
		} catch (error) {
			if (this.#aborted) return;
			await this.#body; // says why
			throw error;
		}
	}

	/** The whole body, whose `close()` must be called. */
	async end(): Promise<Body> {
		this.#writer.close().catch(ignore);
		return await this.#body;
	}

	/** Throws all away. Resolves when nothing is left. */
	async abort(reason: Error): Promise<void> {
		this.#aborted = true;
		this.#writer.abort(reason).catch(ignore);
		await this.#body.then((body) => body.close(), ignore);
	}
}

function ignore(): void {}

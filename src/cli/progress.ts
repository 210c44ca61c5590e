/**
 * A progress bar on a terminal, for work that takes longer than a second. Where the stream is no terminal it is silent:
 * the results are the log.
 */
import type { WriteStream } from "node:tty";

/** A bar that is drawn over itself. */
export class Progress {
	readonly #stream: WriteStream;
	readonly #total: number;
	readonly #started = performance.now();
	#drawn = Number.NEGATIVE_INFINITY; // when
	#visible = false;

	/** @param total - The amount of work, in bytes. */
	constructor(stream: WriteStream, total: number) {
		this.#stream = stream;
		this.#total = total;
	}

	/** So much is done. */
	update(done: number): void {
		const now = performance.now();
		if (!this.#stream.isTTY || now - this.#started < PATIENCE || now - this.#drawn < INTERVAL) return;
		this.#drawn = now;
		this.#visible = true;
		const share = this.#total === 0 ? 1 : Math.min(done / this.#total, 1);
		const filled = Math.round(share * WIDTH);
		const bar = "#".repeat(filled).padEnd(WIDTH, ".");
		const rate = megabytes(done / ((now - this.#started) / 1000));
		this.#stream.write(
			`\r[${bar}] ${Math.floor(share * 100)} % of ${megabytes(this.#total)}, ${rate}/s\x1b[K`,
		);
	}

	/** Removes the bar, so that something else may be written. */
	clear(): void {
		if (this.#visible) this.#stream.write("\r\x1b[K");
		this.#visible = false;
	}
}

function megabytes(bytes: number): string {
	return `${(bytes / 1e6).toFixed(1)} MB`;
}

const PATIENCE = 1000;
const INTERVAL = 100;
const WIDTH = 40;

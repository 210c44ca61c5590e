import { Writable } from "node:stream";
import type { WriteStream } from "node:tty";
import { afterEach, describe, expect, test, vi } from "vitest";
import { Progress } from "../../src/cli/progress.js";

/** A stream that keeps what is written, and says that it is a terminal. */
function terminal(isTTY: boolean): { stream: WriteStream; written: string[] } {
	const written: string[] = [];
	const stream = new Writable({
		write(chunk, _encoding, done) {
			written.push(String(chunk));
			done();
		},
	});
	return { stream: Object.assign(stream, { isTTY }) as unknown as WriteStream, written };
}

describe("the progress bar", () => {
	afterEach(() => {
		vi.useRealTimers();
	});

	test("shows nothing in the first second, then a bar, and removes it", () => {
		vi.useFakeTimers();
		const { stream, written } = terminal(true);
		const progress = new Progress(stream, 4_000_000);
		progress.update(1_000_000);
		expect(written).toEqual([]);
		vi.advanceTimersByTime(2000);
		progress.update(2_000_000);
		expect(written).toEqual([`\r[${"#".repeat(20)}${".".repeat(20)}] 50 % of 4.0 MB, 1.0 MB/s\x1b[K`]);
		progress.update(2_100_000);
		expect(written).toHaveLength(1); // not again so soon
		progress.clear();
		expect(written.at(-1)).toBe("\r\x1b[K");
	});

	test("is silent where there is no terminal", () => {
		vi.useFakeTimers();
		const { stream, written } = terminal(false);
		const progress = new Progress(stream, 10);
		vi.advanceTimersByTime(5000);
		progress.update(5);
		progress.clear();
		expect(written).toEqual([]);
	});
});

/** Sees to it that no promise is rejected behind a test's back. To be called once in a test file. */
import { afterAll, afterEach, beforeAll, expect } from "vitest";
import { turns } from "./server-signal.js";

/** Makes each test of the file fail during which a rejection was handled by nobody. */
export function noUnhandledRejections(): void {
	let unhandled: unknown[] = [];
	const note = (reason: unknown) => unhandled.push(reason);
	beforeAll(() => {
		process.on("unhandledRejection", note);
	});
	afterEach(async () => {
		await turns(3);
		const seen = unhandled;
		unhandled = [];
		expect(seen, "rejections that nobody handled").toEqual([]);
	});
	afterAll(() => {
		process.off("unhandledRejection", note);
	});
}

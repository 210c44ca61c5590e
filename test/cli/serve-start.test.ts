/** `qmtp serve` while it starts, and signals that come too early. */
import { describe, expect, test } from "vitest";
import { Doors } from "../../src/cli/serve/doors.js";
import { start, withDirectory } from "../support/program.js";

test("SIGTERM before all doors are open ends it, and no door is left", async () => {
	await withDirectory(async (cwd) => {
		const running = start(["serve", "--port", "0", "--smtp-port", "0", "--log", "tcpserver"], { cwd });
		await running.until("stderr", /./); // the first port is open; smtp-server is being loaded
		running.child.kill("SIGTERM");
		expect(await running.exit).toBe(0);
	});
});

describe("doors", () => {
	test("that are added when the others close are closed too, and waited for", async () => {
		const doors = new Doors(1000);
		let finish = () => {};
		const door = (closed: Promise<void>) => ({
			connections: 0,
			closes: 0,
			close(): Promise<void> {
				this.closes++;
				return closed;
			},
			destroy() {},
		});
		const first = door(
			new Promise((resolve) => {
				finish = resolve;
			}),
		);
		let finishLate = () => {};
		const late = door(
			new Promise((resolve) => {
				finishLate = resolve;
			}),
		);
		doors.add(first);
		expect(doors.isClosing).toBe(false);
		let closed = false;
		const closing = doors.close().then(() => {
			closed = true;
		});
		expect(doors.isClosing).toBe(true);
		doors.add(late);
		expect([first.closes, late.closes]).toEqual([1, 1]);
		finish();
		await new Promise((resolve) => setImmediate(resolve));
		expect(closed).toBe(false);
		finishLate();
		await closing;
	});
});

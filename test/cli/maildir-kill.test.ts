/**
 * `qmtp maildir` killed at any moment: no mail is lost, and what is sent twice is bounded by the window. The mail comes
 * from a maildir of ours, and goes through a server of ours into another one.
 */
import { describe, expect, onTestFinished, test } from "vitest";
import { maildirQueue } from "../../src/queue/maildir.js";
import { QmtpServer } from "../../src/server/server.js";
import { MailBox } from "../support/maildir-box.js";
import { run, start } from "../support/program.js";
import { Signal, turns } from "../support/server-signal.js";

const MESSAGES = 60;

describe("qmtp maildir, killed at random moments", () => {
	for (const window of [1, 10, 1000]) {
		test(`loses nothing, and sends at most ${window} messages again for each time`, async () => {
			const box = await MailBox.numbered(MESSAGES);
			const target = await MailBox.create();
			const server = await Target.start(target.path);
			const args = ["maildir", "--window", String(window), box.path, "p-", "127.0.0.1", String(server.port)];
			let kills = 0;
			for (; kills < 12; kills++) {
				const left = (await box.names()).length;
				if (left === 0) break;
				const running = start(args);
				await server.stored(random(Math.min(left, (2 * MESSAGES) / 12)), running.exit);
				await turns(random(20));
				running.child.kill("SIGKILL");
				await running.exit;
				await server.idle();
			}
			expect((await run(args)).code).toBe(0);
			await server.idle();

			expect(await box.names()).toEqual([]);
			const files = await Promise.all((await target.names()).map((name) => target.read(name)));
			const recipients = files.map((file) => /^Delivered-To: (.*)$/m.exec(file)?.[1]);
			expect(new Set(recipients).size).toBe(MESSAGES);
			expect(files.length - MESSAGES).toBeLessThanOrEqual(kills * Math.min(window, MESSAGES));
			expect(kills).toBeGreaterThan(0);
		});
	}
});

/** A server that tells how much it has stored. */
class Target {
	readonly port: number;
	readonly #server: QmtpServer;
	readonly #changes = new Signal();
	#stored = 0;

	private constructor(server: QmtpServer, port: number) {
		this.#server = server;
		this.port = port;
		server.on("package", () => {
			this.#stored++;
			this.#changes.notify();
		});
		server.on("disconnect", () => this.#changes.notify());
	}

	static async start(path: string): Promise<Target> {
		const server = new QmtpServer({ queue: maildirQueue({ path }), hooks: { recipient: () => undefined } });
		const { port } = await server.listen({ host: "127.0.0.1", port: 0 });
		onTestFinished(() => server.close());
		return new Target(server, port);
	}

	/** Resolves when so many more packages were stored, or the program has ended. */
	async stored(count: number, ended: Promise<unknown>): Promise<void> {
		const goal = this.#stored + count;
		await Promise.race([this.#changes.until(() => this.#stored >= goal), ended]);
	}

	/** Resolves when nobody is connected any more. */
	idle(): Promise<void> {
		return this.#changes.until(() => this.#server.connections === 0);
	}
}

function random(most: number): number {
	return Math.floor(Math.random() * (most + 1));
}

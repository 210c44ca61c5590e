/** `qmtp serve --queue qmtp://...` and `smtp://...`: what the next hop answers is the answer. */
import { describe, expect, test } from "vitest";
import { run, withServer } from "../support/program.js";

const ENVELOPE = [
	"--sender",
	"me@example.org",
	"--recipient",
	"you@example.com",
	"--recipient",
	"no@example.net",
];
const STRANGERS = ["--accept", "example.com", "--relay-from", "192.0.2.1"];

describe("a next hop", () => {
	test("by QMTP gives each recipient its own answer, and a Z when it is gone", async () => {
		await withServer(["--queue", "memory:", ...STRANGERS], async (next) => {
			await withServer(["--queue", `qmtp://127.0.0.1:${next.port}`], async (first) => {
				const args = ["send", "--port", first.port, ...ENVELOPE];
				const sent = await run(args, { input: "Subject: hello\n\nhello\n" });
				expect(sent.code).toBe(100);
				expect(sent.stdout).toMatch(
					/^K\tyou@example\.com\tok \d+ qp \d+\nD\tno@example\.net\tsorry, .*rcpthosts/,
				);
				const [, id] = /qp (\d+)/.exec(sent.stdout) ?? [];
				await next.until("stderr", new RegExp(`^package=${id} `, "m"));
				next.child.kill("SIGTERM");
				await next.exit;
				const late = await run(args, { input: "x\n" });
				expect(late.code).toBe(111);
				expect(late.stdout).toMatch(/^Z\tyou@example\.com\t.*#4\.4\.\d/);
				await first.until("stderr", /^fault package=\d+ .*nothing listens there/m);
			});
		});
	});

	test("by SMTP gets the mail as well", async () => {
		await withServer(["--smtp-port", "0", ...STRANGERS], async (next) => {
			const [, port] = await next.until("stdout", /^listening on 127\.0\.0\.1:(\d+) for SMTP$/m);
			await withServer(["--queue", `smtp://127.0.0.1:${port}`], async (first) => {
				const sent = await run(["send", "--port", first.port, ...ENVELOPE], {
					input: "Subject: hello\n\nhello\n",
				});
				expect(sent.code).toBe(100);
				expect(sent.stdout).toMatch(/^K\tyou@example\.com\t.*ok \d+ qp \d+\nD\tno@example\.net\t.*rcpthosts/);
			});
		});
	});

	test.each(["qmtp:nowhere", "qmtp://", "qmtp://host:0", "qmtp://host/path", "smtp://user@host"])(
		"%s is wrong use",
		async (queue) => {
			const { code, stderr } = await run(["serve", "--queue", queue]);
			expect(code).toBe(1);
			expect(stderr).toContain(`--queue ${queue}`);
		},
	);
});

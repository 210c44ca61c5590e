import { expect, test } from "vitest";
import { rejected } from "../../src/protocol/response.js";
import { spoolQueue } from "../../src/queue/spool.js";
import { run, start, withDirectory } from "../support/program.js";
import { putInto, startHop } from "../support/relay-mail.js";
import { mail, RECIPIENT, SENDER, TestClient } from "../support/server-client.js";

test("qmtp relay delivers what is in a spool, logs it, and ends on SIGTERM", async () => {
	const hop = await startHop({
		hooks: {
			recipient: (address) => (address.startsWith("gone") ? rejected("no such user (#5.1.1)") : undefined),
		},
	});
	await withDirectory(async (directory) => {
		const spool = spoolQueue({ path: `${directory}/spool`, minFree: 0 });
		const id = await putInto(spool, { recipients: ["one@example.com"] });
		const gone = await putInto(spool, { recipients: ["gone@example.com"] });
		const args = ["relay", "--source", "spool:spool", "--to", hop.url, "--hostname", "relay.example.org"];
		const running = start(args, { cwd: directory });
		await running.until("stdout", /relaying spool:spool to qmtp:/);
		await running.until(
			"stdout",
			new RegExp(`delivered id=${id} from=<sender@example.org> to=<one@example.com> ok`),
		);
		await running.until(
			"stdout",
			new RegExp(`bounced id=${gone} .*bounce-to=<sender@example.org> no such user`),
		);
		await running.until("stdout", /delivered id=\d+ from=<> to=<sender@example.org>/);
		running.child.kill("SIGTERM");
		expect(await running.exit).toBe(0);
		expect(running.stderr).toBe("");
		expect((await spool.stats()).messages).toBe(0);
		await spool.close();
		expect(hop.queue.messages.map(({ sender }) => sender).sort()).toEqual(["", "sender@example.org"]);
	});
});

test.each([
	[
		["--source", "qmail:x", "--to", "mx"],
		"--source must be spool:DIR | maildir:DIR | amqp://USER@HOST:PORT/VHOST, not 'qmail:x'",
	],
	[["--source", "spool:x", "--to", "example.com"], "to must be mx, qmtp://host:port or smtp://host:port"],
	[["--source", "maildir:", "--to", "mx"], "--source maildir:DIR needs a path"],
	[["--source", "spool:x"], "--to is missing"],
])("qmtp relay %s is wrong use", async (args, problem) => {
	await withDirectory(async (cwd) => {
		const { code, stderr } = await run(["relay", ...args], { cwd });
		expect(code).toBe(1);
		expect(stderr).toContain(problem);
	});
});

test("qmtp serve --relay delivers what it keeps, in the same process, and ends both", async () => {
	const hop = await startHop();
	await withDirectory(async (cwd) => {
		const args = ["serve", "--port", "0", "--queue", "spool:spool", "--relay", hop.url];
		const running = start(args, { cwd });
		const [, port] = await running.until("stdout", /listening on 127\.0\.0\.1:(\d+)/);
		const client = await TestClient.connect(Number(port));
		client.send(mail());
		const [answer = ""] = await client.receives(1);
		const [, id] = /^Kok \d+ qp (\d+)$/.exec(answer) ?? [];
		await running.until(
			"stderr",
			new RegExp(`relay: delivered id=${id} from=<${SENDER}> to=<${RECIPIENT}> ok`),
		);
		client.end("");
		running.child.kill("SIGTERM");
		expect(await running.exit).toBe(0);
		expect(hop.queue.messages.map(({ sender }) => sender)).toEqual([SENDER]);
	});
});

test.each([
	[["--relay", "mx"], "--relay needs --queue spool:DIR"],
	[["--relay", "mx", "--queue", "spool:x", "--workers", "2"], "--relay is for one process"],
	[
		["--relay", "here", "--queue", "spool:x", "--port", "0"],
		"to must be mx, qmtp://host:port or smtp://host:port",
	],
])("qmtp serve %s is wrong use", async (args, problem) => {
	await withDirectory(async (cwd) => {
		const { code, stderr } = await run(["serve", ...args], { cwd });
		expect(code).toBe(1);
		expect(stderr).toContain(problem);
	});
});

/** RabbitMQ on the command line, as far as that takes no broker: URLs, passwords, and what is missing. */
import { spawnSync } from "node:child_process";
import { cp, mkdir, readFile, symlink, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { rabbitmqTopology } from "../../src/queue/rabbitmq.js";
import { MAIN, run, withDirectory } from "../support/program.js";

// What it is must not be in any output.
const PASSWORD = "sEcReT";
const NO_PASSWORD = { QMTP_AMQP_PASSWORD: undefined };

test.each([
	[`amqp://me:${PASSWORD}@`, "url must be amqp://USER:PASSWORD@HOST:PORT/VHOST"],
	[`amqp:me:${PASSWORD}@127.0.0.1`, "url must be amqp://"],
	[`amqp://me:${PASSWORD}`, "url has a host that is none"],
	[`amqp://me:${PASSWORD}/x@127.0.0.1`, "url has an @ behind its first slash"],
	[`amqp://me:x?${PASSWORD}@127.0.0.1`, "behind the ? stands what is none of queue, delivery-limit, max-"],
	[`amqp://me:x#${PASSWORD}@127.0.0.1`, "url has a # in it, which is written %23"],
	[`amqp://me:%${PASSWORD}@127.0.0.1`, "url has a % that begins no byte"],
	[`amqp://me:${PASSWORD}@127.0.0.1:99999`, "url has a port that is none"],
	[`amqps://me:${PASSWORD}@127.0.0.1/a/b`, "url has a slash in its vhost"],
	[`amqp://me:${PASSWORD}@127.0.0.1?quue=x`, "behind the ? stands what is none of queue"],
	[`amqp://me:${PASSWORD}@127.0.0.1?queue=a&queue=b`, "queue was given more than once"],
	[`amqp://me:${PASSWORD}@127.0.0.1?queue=a%20b`, "queue must be 1 to 100 letters"],
	[`amqp://me:${PASSWORD}@127.0.0.1?delivery-limit=0`, "delivery-limit must be a whole number from 1"],
	[`amqp://me:${PASSWORD}@127.0.0.1?max-message-bytes=1e6`, "max-message-bytes must be a whole number"],
	["amqp://me@127.0.0.1", "the password is missing: it is taken from QMTP_AMQP_PASSWORD"],
])("--queue %s is wrong use, and none of it is told", async (url, problem) => {
	const { code, stdout, stderr } = await run(["serve", "--queue", url], { env: NO_PASSWORD });
	expect([code, stdout]).toEqual([1, ""]);
	expect(stderr).toContain(`qmtp serve: --queue: ${problem}`);
	expect(stderr).not.toMatch(/secret|127\.0\.0\.1/i);
});

test.each([
	["--queue", ["serve", "--workers", "2", "--queue"]],
	["--source", ["relay", "--to", "mx", "--source"]],
	["--url", ["rabbitmq", "declare", "--url"]],
	["--bounce-queue", ["maildir", "-b", "nowhere", "", "127.0.0.1", "--bounce-queue"]],
])("%s of %j says no more of one that is wrong", async (option, args) => {
	const { stdout, stderr } = await run([...args, `amqp://me:${PASSWORD}@127.0.0.1:99999`]);
	expect([stdout, stderr.split(" (try")[0]]).toEqual([
		"",
		`qmtp ${args[0]}: ${option}: url has a port that is none`,
	]);
});

test.each([
	[["serve", "--queue", `ampq://me:${PASSWORD}@127.0.0.1`]],
	[["serve", "--queue", `me:${PASSWORD}@127.0.0.1`]],
	[["serve", "--queue", `//me:${PASSWORD}@127.0.0.1`]],
	[["relay", "--to", "mx", "--source", `AMQP://me:${PASSWORD}@127.0.0.1`]],
	[["relay", "--source", "spool:x", "--to", `amqp://me:${PASSWORD}@127.0.0.1`]],
	[["relay", "--source", "spool:x", "--to", "mx", `amqp://me:${PASSWORD}@127.0.0.1`]],
	[["serve", `amqp://me:${PASSWORD}@127.0.0.1`]],
	[["rabbitmq", "--url", "amqp://127.0.0.1", `amqp://me:${PASSWORD}@127.0.0.1`]],
	[["rabbitmq", "declare", "--url", "amqp://127.0.0.1", `amqp://me:${PASSWORD}@127.0.0.1`]],
	[[`amqp://me:${PASSWORD}@127.0.0.1`]],
])("a URL where none belongs is wrong use, and its password is not told: %j", async (args) => {
	await withDirectory(async (cwd) => {
		const { code, stdout, stderr } = await run(args, { cwd });
		expect([code, stdout]).toEqual([1, ""]);
		expect(stderr).toMatch(/^qmtp.*\n$/);
		expect(stderr).not.toContain(PASSWORD);
	});
});

test.each([
	[["--url", "amqp://127.0.0.1"], "say what to do: declare"],
	[["--url", "amqp://127.0.0.1", "undeclare"], "there is nothing but declare"],
	[["--url", "amqp://127.0.0.1", "declare", "more"], "declare takes no arguments"],
	[["declare"], "--url is missing"],
	[["declare", "--url", "127.0.0.1"], "--url: url must be amqp://USER:PASSWORD@HOST:PORT/VHOST"],
	[
		["declare", "--url", "amqp://127.0.0.1", "--delivery-limit", "0"],
		"--delivery-limit must be a whole number",
	],
	[
		["declare", "--url", "amqp://127.0.0.1?delivery-limit=4", "--delivery-limit", "4"],
		"--delivery-limit is in the URL as well",
	],
])("qmtp rabbitmq %j is wrong use", async (args, problem) => {
	const { code, stdout, stderr } = await run(["rabbitmq", ...args]);
	expect([code, stdout]).toEqual([1, ""]);
	expect(stderr).toContain(`qmtp rabbitmq: ${problem}`);
});

test("declare --dry-run prints the queues as JSON, without a password and without a broker", async () => {
	const dryRun = ["rabbitmq", "declare", "--dry-run", "--url"];
	const plain = await run([...dryRun, "amqp://me@broker.invalid"], { env: NO_PASSWORD });
	expect(plain).toMatchObject({ code: 0, stderr: "" });
	expect(JSON.parse(plain.stdout)).toEqual({ queues: rabbitmqTopology() });
	const url = "amqps://a.invalid,b.invalid:1/vhost?queue=mail.out&max-message-bytes=1000";
	const limited = await run([...dryRun, `${url}&delivery-limit=7`]);
	const queues = rabbitmqTopology({ queue: "mail.out", deliveryLimit: 7 });
	expect(JSON.parse(limited.stdout)).toEqual({ queues });
	expect(await run([...dryRun, url, "--delivery-limit", "7"])).toEqual(limited);
	expect(queues.map(({ name }) => name)).toContain("mail.out.parked");
});

test("the dry run of docs/cli.md prints what it says", async () => {
	const page = await readFile(fileURLToPath(new URL("../../docs/cli.md", import.meta.url)), "utf8");
	const [, line = ""] = /^(qmtp rabbitmq declare .*)$/m.exec(page) ?? [];
	const program = `'${process.execPath}' '${MAIN}'`;
	const { stdout, stderr } = spawnSync("sh", ["-c", line.replace(/^qmtp/, program)], { encoding: "utf8" });
	expect(stderr).toBe("");
	expect(JSON.parse(stdout)).toEqual({ queues: rabbitmqTopology({ queue: "incoming" }) });
});

test("a broker that is not there: 111, and where it was looked for, without the password", async () => {
	const port = await closedPort();
	const there = `127.0.0.1:${port}`;
	const url = `amqp://me:${PASSWORD}@${there},localhost:${port}/v`;
	const reason = `amqp://me@${there}/v: connect ECONNREFUSED ${there}; amqp://me@localhost:${port}/v: connect`;
	const named = `cannot use amqp://me@${there},localhost:${port}/v: `;
	for (const [args, problem] of [
		[["serve", "--port", "0", "--queue", url], `qmtp serve: ${named}`],
		[["serve", "--port", "0", "--queue", url, "--workers", "2"], `qmtp serve: ${named}`],
		[["serve", "--port", "0", "--queue", url, "--relay", "qmtp://127.0.0.1:1"], `qmtp serve: ${named}`],
		[["relay", "--source", url, "--to", "qmtp://127.0.0.1:1"], `qmtp relay: ${named}`],
		[["rabbitmq", "declare", "--url", url], "qmtp rabbitmq: "],
	] as const) {
		const { code, stdout, stderr } = await run(args);
		expect([code, stdout]).toEqual([111, ""]);
		expect(stderr).toMatch(/^[^\n]*\n$/);
		expect(stderr.startsWith(problem + reason), stderr).toBe(true);
	}
});

test("without the package amqplib it is said which one is missing, and a dry run needs none", async () => {
	await withDirectory(async (directory) => {
		await cp(join(MAIN, "../.."), join(directory, "dist"), { recursive: true });
		await writeFile(join(directory, "package.json"), `{ "type": "module", "version": "0" }`);
		await mkdir(join(directory, "node_modules"));
		const packages = join(MAIN, "../../../node_modules");
		for (const name of ["eventemitter3", "nodemailer"])
			await symlink(join(packages, name), join(directory, "node_modules", name));
		const url = `amqp://me:${PASSWORD}@127.0.0.1:1`;
		const qmtp = (...args: string[]) => {
			const argv = [join(directory, "dist/cli/main.js"), ...args];
			const { status, stdout, stderr } = spawnSync(process.execPath, argv, {
				encoding: "utf8",
				timeout: 20_000,
			});
			return { status, stdout, stderr };
		};
		const missing = "a queue of RabbitMQ needs the package amqplib: npm install amqplib\n";
		const failed = (stderr: string) => ({ status: 111, stdout: "", stderr: stderr + missing });
		const named = "cannot use amqp://me@127.0.0.1:1: ";
		expect(qmtp("serve", "--port", "0", "--queue", url)).toEqual(failed(`qmtp serve: ${named}`));
		expect(qmtp("relay", "--to", "mx", "--source", url)).toEqual(failed(`qmtp relay: ${named}`));
		expect(qmtp("rabbitmq", "declare", "--url", url)).toEqual(failed("qmtp rabbitmq: "));
		const dryRun = qmtp("rabbitmq", "declare", "--url", url, "--dry-run");
		expect(dryRun).toMatchObject({ status: 0, stderr: "" });
		expect(JSON.parse(dryRun.stdout)).toEqual({ queues: rabbitmqTopology() });
	});
});

/** A port of this host where nobody listens. */
async function closedPort(): Promise<number> {
	const server = createServer();
	return await new Promise((resolve) => {
		server.listen(0, "127.0.0.1", () => {
			const { port } = server.address() as { port: number };
			server.close(() => resolve(port));
		});
	});
}

/** The lock of `qmtp maildir`: one run at a time, whoever else takes it, and however it ends. */
import { chmod, mkdir, stat, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { acceptingServer, ScriptedServer } from "../support/client-server.js";
import { MailBox } from "../support/maildir-box.js";
import { describeWithPrograms, findProgram } from "../support/peers.js";
import { startProcess } from "../support/processes.js";
import { MAIN, run, start } from "../support/program.js";

function args(box: MailBox, port: number, ...options: string[]): string[] {
	return ["maildir", ...options, box.path, "p-", "127.0.0.1", String(port)];
}

/** A run that is in the middle of its work until `go` is called. */
async function held(box: MailBox) {
	let go!: () => void;
	const gate = new Promise<void>((resolve) => {
		go = resolve;
	});
	const server = await ScriptedServer.start(async (connection) => {
		await connection.received(10);
		await gate;
		await connection.answerAll();
	});
	const running = start(args(box, server.port));
	await (await server.connection()).received(10);
	return { server, running, go };
}

/** An environment whose flock says that it waits before it does. */
async function announcing(box: MailBox): Promise<{ PATH: string }> {
	const bin = join(box.path, "bin");
	await mkdir(bin);
	await writeFile(join(bin, "flock"), `#!/bin/sh\necho waiting >&2\nexec ${findProgram("flock")} "$@"\n`);
	await chmod(join(bin, "flock"), 0o755);
	return { PATH: bin };
}

describe("the lock of qmtp maildir", () => {
	test("a second run ends at once with 111, and all is sent once", async () => {
		const box = await MailBox.numbered(10);
		const { server, running, go } = await held(box);
		expect(await run(args(box, server.port))).toEqual({
			code: 111,
			stdout: "",
			stderr: `maildirserial: fatal: unable to lock ${box.path}/seriallock: temporary failure\n`,
		});
		go();
		expect(await running.exit).toBe(0);
		expect(server.bodies).toHaveLength(10);
		expect((await stat(join(box.path, "seriallock"))).mode & 0o777).toBe(0o600);
	});

	test("with --wait a second run begins when the first is over", async () => {
		const box = await MailBox.numbered(10);
		const { server, running, go } = await held(box);
		const waiting = start(args(box, server.port, "--wait"), { env: await announcing(box) });
		await waiting.until("stderr", /^waiting$/m);
		go();
		expect(await running.exit).toBe(0);
		expect(await waiting.exit).toBe(0);
		expect(server.bodies).toHaveLength(10);
	});

	test("with --wait a second run can be interrupted", async () => {
		const box = await MailBox.numbered(10);
		const { server, running, go } = await held(box);
		const waiting = start(args(box, server.port, "--wait"), { env: await announcing(box) });
		await waiting.until("stderr", /^waiting$/m);
		waiting.child.kill("SIGTERM");
		expect(await waiting.exit).toBe(111);
		expect(waiting.stderr).toBe("waiting\n");
		go();
		expect(await running.exit).toBe(0);
	});

	test("dies with a run that is killed", async () => {
		const box = await MailBox.numbered(10);
		const { running } = await held(box);
		running.child.kill("SIGKILL");
		await running.exit;
		const server = await acceptingServer();
		expect((await run(args(box, server.port))).code).toBe(0);
		expect(server.bodies).toHaveLength(10);
	});

	test("--no-lock takes none", async () => {
		const box = await MailBox.numbered(10);
		const { running, go } = await held(box);
		const server = await acceptingServer();
		expect((await run(args(box, server.port, "--no-lock"))).code).toBe(0);
		go();
		expect(await running.exit).toBe(111); // the files had gone
		expect(running.stderr.match(/message will be delivered twice! /g)).toHaveLength(10);
	});

	test("is taken by perl where there is no flock", async () => {
		const box = await MailBox.numbered(10);
		const bin = join(box.path, "bin");
		await mkdir(bin);
		const { running, server, go } = await held(box);
		const without = await run(args(box, server.port), { env: { PATH: bin } });
		expect(without.code).toBe(111);
		expect(without.stderr).toContain("neither flock (of util-linux) nor perl is installed\n");
		await symlink(findProgram("perl") as string, join(bin, "perl"));
		const refused = await run(args(box, server.port), { env: { PATH: bin } });
		expect(refused.stderr).toContain(": temporary failure\n");
		go();
		await running.exit;
		expect((await run(args(box, server.port), { env: { PATH: bin } })).code).toBe(0);
		expect((await run(args(box, server.port, "--wait"), { env: { PATH: bin } })).code).toBe(0);
	});

	test("a helper that fails is told of", async () => {
		const box = await MailBox.numbered(1);
		await mkdir(join(box.path, "bin"));
		await writeFile(join(box.path, "bin/flock"), "#!/bin/sh\nexit 71\n");
		await chmod(join(box.path, "bin/flock"), 0o755);
		const { code, stderr } = await run(args(box, 9), { env: { PATH: join(box.path, "bin") } });
		expect(code).toBe(111);
		expect(stderr).toContain("seriallock: flock ended with 71\n");
	});
});

describeWithPrograms("setlock and qmtp maildir", { setlock: "daemontools" }, () => {
	test("keep each other out", async () => {
		const box = await MailBox.numbered(10);
		const { server, running, go } = await held(box);
		const lock = join(box.path, "seriallock");
		const refused = startProcess("setlock", ["-n", lock, "echo", "locked"]);
		await refused.until(/unable to lock .*: temporary failure/);
		await refused.stop();
		go();
		await running.exit;

		const holding = startProcess("setlock", ["-n", lock, "sh", "-c", "echo locked; exec sleep 600"]);
		await holding.until(/locked/);
		expect((await run(args(box, server.port))).stderr).toContain(": temporary failure\n");
		await holding.stop();
		expect((await run(args(box, server.port))).code).toBe(0);
	});

	test("may be used together, as maildirqmtp is run", async () => {
		const box = await MailBox.numbered(10);
		const server = await acceptingServer();
		const lock = join(box.path, "seriallock");
		const both = startProcess("setlock", ["-n", lock, process.execPath, MAIN, ...args(box, server.port)]);
		await both.until(/(succeeded[^\n]*\n[^\n]*){10}/);
		await both.stop();
		expect(server.bodies).toHaveLength(10);
	});
});

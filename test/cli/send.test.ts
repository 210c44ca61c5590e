import { once } from "node:events";
import { mkdir, writeFile } from "node:fs/promises";
import { type AddressInfo, createServer } from "node:net";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { run, start, withDirectory, withServer } from "../support/program.js";

const ENVELOPE = ["--sender", "s@example.org", "--recipient", "r@example.com"];

describe("qmtp send", () => {
	test("sends each file as one message, over one connection, and prints results in the order of the files", async () => {
		await withServer(["--queue", "discard:"], async (server) => {
			const names = Array.from({ length: 30 }, (_, index) => join(server.directory, `${index}`));
			for (const [index, name] of names.entries()) await writeFile(name, `Subject: ${index}\r\n\r\nbody\r\n`);
			const args = ["send", "--port", server.port, ...ENVELOPE, "--recipient", "q@example.com", ...names];
			const sent = await run(args);
			expect(sent.code).toBe(0);
			expect(sent.stdout.split("\n")).toHaveLength(61);
			expect(sent.stdout).toMatch(/^(K\tr@example\.com\tok [^\n]*\nK\tq@example\.com\tok [^\n]*\n){30}$/);
			await server.until("stderr", /^connection peer=\S+ packages=30 end=closed$/m);
		});
	});

	test("a server that is not there is a Z for each recipient, and exit 111", async () => {
		const listener = createServer();
		await new Promise<void>((resolve) => listener.listen(0, "127.0.0.1", resolve));
		const { port } = listener.address() as AddressInfo;
		await new Promise((resolve) => listener.close(resolve));
		const sent = await run(["send", "--port", String(port), ...ENVELOPE], { input: "x\n" });
		expect(sent).toEqual({
			code: 111,
			stdout: `Z\tr@example.com\tno connection to 127.0.0.1:${port}: nothing listens there (connection refused)\n`,
			stderr: "",
		});
	});

	test("a server's text cannot steer the terminal or forge a line", async () => {
		const listener = createServer((socket) => {
			socket.once("data", () => socket.end("11:Dno\nK\tx\x1b[2J,"));
		});
		await new Promise<void>((resolve) => listener.listen(0, "127.0.0.1", resolve));
		const { port } = listener.address() as AddressInfo;
		const sent = await run(["send", "--port", String(port), ...ENVELOPE], { input: "x\n" });
		listener.close();
		expect(sent).toEqual({ code: 100, stdout: "D\tr@example.com\tno\\x0aK\\x09x\\x1b[2J\n", stderr: "" });
	});

	test("an interrupt withdraws what is under way, says so, and exits 111", async () => {
		const listener = createServer((socket) => socket.on("error", () => {}).resume());
		await new Promise<void>((resolve) => listener.listen(0, "127.0.0.1", resolve));
		const { port } = listener.address() as AddressInfo;
		const running = start(["send", "--port", String(port), ...ENVELOPE], { input: "x\n" });
		const [socket] = await once(listener, "connection");
		await once(socket, "data");
		running.child.kill("SIGINT");
		socket.once("end", () => socket.end());
		expect(await running.exit).toBe(111);
		expect(running.stdout).toBe("Z\tr@example.com\tinterrupted\n");
		listener.close();
	});

	test("an empty message and an empty sender are mail too", async () => {
		await withServer(["--queue", "discard:"], async (server) => {
			const args = ["send", "--port", server.port, "--sender", "", "--recipient", "r@example.com", "-"];
			expect((await run(args, { input: "" })).code).toBe(0);
		});
	});
});

describe("wrong use of qmtp send", () => {
	const cases: [string[], string][] = [
		[["--recipient", "r@example.com"], "--sender is missing"],
		[["--sender", "s@example.org"], "--recipient is missing"],
		[[...ENVELOPE, "-", "-"], "standard input can be sent only once"],
		[[...ENVELOPE, "/nonexistent/file"], "cannot read /nonexistent/file"],
		[[...ENVELOPE, "--port", "0"], "--port must be a whole number from 1 to 65535"],
	];
	for (const [args, message] of cases) {
		test(`${args.join(" ")} is one line on standard error, and exit 1`, async () => {
			const { code, stdout, stderr } = await run(["send", ...args]);
			expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
			expect(stderr).toContain(message);
			expect(stderr).toMatch(/^qmtp send: .* \(try: qmtp send --help\)\n$/);
		});
	}

	test("a directory is no message", async () => {
		await withDirectory(async (directory) => {
			await mkdir(join(directory, "d"));
			const { code, stderr } = await run(["send", ...ENVELOPE, join(directory, "d")]);
			expect(code).toBe(1);
			expect(stderr).toContain("it is no regular file");
		});
	});
});

describe("qmtp", () => {
	test("--help, --version and the help of each command go to standard output, and exit 0", async () => {
		for (const args of [["--help"], ["--version"], ["serve", "--help"], ["send", "--help"]]) {
			const { code, stdout, stderr } = await run(args);
			expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
			expect(stdout.length).toBeGreaterThan(4);
		}
	});

	test("no command, and one that does not exist, are one line and exit 1", async () => {
		expect(await run([])).toMatchObject({
			code: 1,
			stdout: "",
			stderr: "qmtp: a command is missing (try: qmtp --help)\n",
		});
		const { code, stderr } = await run(["frob"]);
		expect(code).toBe(1);
		expect(stderr).toBe("qmtp: there is no command 'frob' (try: qmtp --help)\n");
	});
});

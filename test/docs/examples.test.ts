import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, readdir, readFile, symlink, utimes } from "node:fs/promises";
import { type AddressInfo, createServer } from "node:net";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { beforeAll, describe, expect, test } from "vitest";
import { type Finished, withDirectory } from "../support/program.js";

const root = fileURLToPath(new URL("../..", import.meta.url));
let port = "";
let smtpPort = "";

/** The code blocks of a page in one language, with free ports in place of those that stand there. */
async function blocks(page: string, language: string): Promise<string[]> {
	const text = await readFile(join(root, page), "utf8");
	const found = [...text.matchAll(/^```(\w+)\n(.*?)^```$/gms)].filter(([, name]) => name === language);
	return found.map(([, , code = ""]) => code.replaceAll("2209", port).replaceAll("2525", smtpPort));
}

/** Runs a block as a module, in a directory where `qmtp` is installed. */
function runModule(directory: string, code: string): ReturnType<typeof spawn> {
	return spawn(process.execPath, ["--input-type=module", "--eval", code], { cwd: directory, stdio: "pipe" });
}

async function finished(child: ReturnType<typeof spawn>): Promise<Finished> {
	const output = { stdout: "", stderr: "" };
	for (const name of ["stdout", "stderr"] as const) {
		child[name]?.setEncoding("utf8").on("data", (text: string) => {
			output[name] += text;
		});
	}
	const [code] = await once(child, "close");
	return { code, ...output };
}

async function install(directory: string): Promise<void> {
	await mkdir(join(directory, "node_modules"));
	await symlink(root, join(directory, "node_modules", "qmtp"));
	for (const peer of ["nodemailer", "smtp-server"]) {
		await symlink(join(root, "node_modules", peer), join(directory, "node_modules", peer));
	}
}

/** Runs a line of a page as a shell does, with the program of this checkout. */
function runLine(directory: string, line: string): ReturnType<typeof spawn> {
	const program = `exec '${process.execPath}' '${join(root, "dist", "cli", "main.js")}'`;
	return spawn("sh", ["-c", line.replace(/^qmtp/, program)], { cwd: directory, stdio: "pipe" });
}

/** Resolves when the program has written this on standard output. */
async function said(child: ReturnType<typeof spawn>, text: string): Promise<void> {
	let output = "";
	while (!output.includes(text))
		output += String((await once(child.stdout as NodeJS.ReadableStream, "data"))[0]);
}

async function freePort(): Promise<string> {
	const listener = createServer().listen(0, "127.0.0.1");
	await once(listener, "listening");
	const free = String((listener.address() as AddressInfo).port);
	listener.close();
	return free;
}

beforeAll(async () => {
	port = await freePort();
	smtpPort = await freePort();
});

describe("the README's code", () => {
	test("the server takes what the client sends, and the netstrings are what it says", async () => {
		await withDirectory(async (directory) => {
			await install(directory);
			const [server = "", client = "", netstrings = "", ...more] = await blocks("README.md", "js");
			expect(more).toEqual([]);
			const serving = runModule(directory, server);
			const served = finished(serving);
			await once(serving.stdout as NodeJS.ReadableStream, "data");
			const sent = await finished(runModule(directory, client));
			expect(sent).toMatchObject({ code: 0, stderr: "" });
			expect(sent.stdout).toMatch(/^K you@example\.com ok \d+ qp \d+\nD them@example\.net sorry, .*\n$/);
			serving.kill("SIGTERM");
			expect(await served).toMatchObject({ code: 0, stderr: "" });
			expect(await readdir(join(directory, "mail", "new"))).toHaveLength(1);
			const decoded = await finished(runModule(directory, netstrings));
			expect(decoded.stdout).toBe("12:hello world!,\nhello world!\n");
			for (const line of decoded.stdout.trim().split("\n")) expect(netstrings).toContain(`// ${line}`);
		});
	});

	test("npm start serves, and the command to send prints a K", async () => {
		const [serve = "", send = "", runTests = "", ...more] = await blocks("README.md", "sh");
		expect(more).toEqual([]);
		expect([serve, runTests]).toEqual(["npm start\n", "npm test\n"]);
		await withDirectory(async (directory) => {
			const command = `${serve.trim()} -- --port ${port} --queue maildir:${directory}/mail`;
			const server = spawn("sh", ["-c", `exec ${command}`], { cwd: root, stdio: "pipe" });
			const served = finished(server);
			let started = "";
			while (!started.includes(`listening on 127.0.0.1:${port}\n`)) {
				started += String((await once(server.stdout, "data"))[0]);
			}
			const sent = await finished(spawn("sh", ["-c", send], { cwd: root, stdio: "pipe" }));
			expect(sent.stdout).toMatch(/^K\tyou@example\.com\tok \d+ qp \d+\n$/);
			expect(sent.code).toBe(0);
			expect(await readdir(join(directory, "mail", "new"))).toHaveLength(1);
			server.kill("SIGTERM");
			const { code, stderr } = await served;
			expect(code).toBe(0);
			expect(stderr).toContain("npx qmtp send");
		});
	});
});

describe("docs/sending.md", () => {
	test("a receiver with both doors takes mail from nodemailer, and its Maildir goes on to another receiver", async () => {
		const [doors = "", mailer = "", ...more] = await blocks("docs/sending.md", "js");
		const [serve = "", maildir = ""] = await blocks("docs/sending.md", "sh");
		expect(more).toHaveLength(1); // the router's, below
		await withDirectory(async (here) => {
			await install(here);
			const receiver = runModule(here, doors);
			const received = finished(receiver);
			await said(receiver, "both doors are open");
			const sent = await finished(runModule(here, mailer));
			expect(sent).toMatchObject({ code: 0, stderr: "" });
			expect(sent.stdout).toMatch(/^\[ 'you@example\.com' \] 250 ok \d+ qp \d+\n$/);
			receiver.kill("SIGTERM");
			expect(await received).toMatchObject({ code: 0, stderr: "" });
			expect(await readdir(join(here, "mail", "new"))).toHaveLength(1);
			await withDirectory(async (there) => {
				const other = runLine(there, serve);
				const served = finished(other);
				await said(other, "for SMTP");
				await utimes(
					join(here, "mail", "new", (await readdir(join(here, "mail", "new")))[0] as string),
					1,
					1,
				);
				expect(await finished(runLine(here, maildir))).toMatchObject({ code: 0, stdout: "" });
				other.kill("SIGTERM");
				expect((await served).code).toBe(0);
				expect(await readdir(join(here, "mail", "new"))).toEqual([]);
				expect(await readdir(join(there, "mail", "new"))).toHaveLength(1);
			});
		});
	});

	test("the router says what became of each recipient, and the lines for tinydns announce QMTP", async () => {
		const router = (await blocks("docs/sending.md", "js")).at(-1) as string;
		const closed = await freePort();
		const local = router
			.replace("you@example.com", "you@[127.0.0.1]") // no name server is needed
			.replace('hostname: "mx.example.org"', `hostname: "mx.example.org", ports: { smtp: ${closed} }`);
		await withDirectory(async (directory) => {
			await install(directory);
			const { code, stdout } = await finished(runModule(directory, local));
			expect(code).toBe(0);
			expect(stdout).toMatch(/^Z you@\[127\.0\.0\.1\] .* 1\nD nobody .* 0\n$/);
			const mx = (await blocks("docs/sending.md", "sh")).find((code) => code.startsWith("qmtp mx")) as string;
			const zone = await finished(runLine(directory, mx));
			expect(zone.stdout).toMatch(/^@example\.com:192\.0\.2\.1:mx1\.example\.com:12801:.*\n.*:12817:.*\n/);
		});
	});
});

describe("the code of docs", () => {
	for (const page of ["docs/hooks.md", "docs/queues.md"]) {
		test(`each block of ${page} runs`, async () => {
			const codes = await blocks(page, "js");
			expect(codes.length).toBeGreaterThan(0);
			for (const code of codes) {
				await withDirectory(async (directory) => {
					await install(directory);
					expect(await finished(runModule(directory, code))).toMatchObject({ code: 0, stderr: "" });
				});
			}
		});
	}

	test("docs/cli.md names each option of each command", async () => {
		const text = await readFile(join(root, "docs/cli.md"), "utf8");
		const main = join(root, "dist", "cli", "main.js");
		const help = async (...args: string[]) => {
			return (await finished(spawn(process.execPath, [main, ...args, "--help"], { stdio: "pipe" }))).stdout;
		};
		const commands = [...(await help()).matchAll(/^ {2}([a-z]+) {2}/gm)].map(
			([, command]) => command as string,
		);
		expect(commands.length).toBeGreaterThan(3);
		for (const command of commands) {
			expect(text).toContain(`\n## qmtp ${command}\n`);
			const options = [...(await help(command)).matchAll(/^ {2}((?:-\w, )?--[a-z-]+(?: [A-Z]+)?)/gm)];
			expect(options.length).toBeGreaterThan(0);
			for (const [, option] of options) expect(text).toContain(`\`${option}\``);
		}
	});
});

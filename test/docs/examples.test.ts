import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, readdir, readFile, symlink } from "node:fs/promises";
import { type AddressInfo, createServer } from "node:net";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { beforeAll, describe, expect, test } from "vitest";
import { type Finished, withDirectory } from "../support/program.js";

const root = fileURLToPath(new URL("../..", import.meta.url));
let port = "";

/** The code blocks of a page in one language, with a free port in place of the one that stands there. */
async function blocks(page: string, language: string): Promise<string[]> {
	const text = await readFile(join(root, page), "utf8");
	const found = [...text.matchAll(/^```(\w+)\n(.*?)^```$/gms)].filter(([, name]) => name === language);
	return found.map(([, , code = ""]) => code.replaceAll("2209", port));
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
}

beforeAll(async () => {
	const listener = createServer().listen(0, "127.0.0.1");
	await once(listener, "listening");
	port = String((listener.address() as AddressInfo).port);
	listener.close();
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

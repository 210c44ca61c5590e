/** What a client does to the life of its process, which is a program of its own here, run from the compiled package. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { describe, expect, onTestFinished, test } from "vitest";
import { noUnhandledRejections } from "../support/client-rejections.js";
import { acceptingServer, ScriptedServer } from "../support/client-server.js";

noUnhandledRejections();

const compiled = new URL("../../dist/index.js", import.meta.url);

if (existsSync(compiled)) {
	// A program that does not end lets the test fail by its time limit, which is below the idle timeout.
	describe("a program", { timeout: 40_000 }, suite);
} else {
	test("a program", (context) => context.skip("the package is not compiled: npm run build"));
}

function suite(): void {
	test("ends when its mail is answered, although its connection is open", async () => {
		const server = await acceptingServer();
		const program = run(server, "console.log((await client.send(mail)).accepted.length);");
		expect(await ending(program)).toEqual({ code: 0, output: "1\n" });
	});

	test("does not end while an answer is owed", async () => {
		const server = await ScriptedServer.start(async (connection) => {
			await connection.received();
			await new Promise((resolve) => setTimeout(resolve, 100)); // the program has nothing to do but wait
			connection.write("1:K,");
		});
		const program = run(server, "console.log((await client.send(mail)).accepted.length);");
		expect(await ending(program)).toEqual({ code: 0, output: "1\n" });
	});

	test("does not end before close() has", async () => {
		const server = await ScriptedServer.start(async (connection) => {
			await connection.received();
			connection.write("1:K,");
			await connection.end();
			await new Promise((resolve) => setTimeout(resolve, 100));
			connection.socket.end();
		});
		const program = run(server, "await client.send(mail); await client.close(); console.log('closed');");
		expect(await ending(program)).toEqual({ code: 0, output: "closed\n" });
	});

	test("does not end before close() has, when its last answer comes on a connection that takes no more", async () => {
		const server = await ScriptedServer.start(async (connection) => {
			await connection.end(); // in the middle of the second package
			connection.write("1:K,");
			await new Promise((resolve) => setTimeout(resolve, 100));
			connection.socket.end();
		});
		const program = run(
			server,
			`const first = client.send(mail);
			const given = new AbortController();
			const onProgress = () => given.abort();
			await client.send({ ...mail, message: "x".repeat(1e6), onProgress }, given).catch(() => {});
			console.log((await first).accepted.length);
			await client.close();
			console.log("closed");`,
		);
		expect(await ending(program)).toEqual({ code: 0, output: "1\nclosed\n" });
	});

	test("ends when all that it sent was given up", async () => {
		const server = await ScriptedServer.start(async (connection) => {
			await connection.received();
		});
		const program = run(
			server,
			`const signal = AbortSignal.timeout(300);
			setTimeout(() => {}, 400); // a signal's own timer does not keep the process alive
			await client.send(mail, { signal }).catch(({ name }) => console.log(name));`,
		);
		expect(await ending(program)).toEqual({ code: 0, output: "TimeoutError\n" });
	});

	test("ends when it destroys its client", async () => {
		const server = await ScriptedServer.start(async (connection) => {
			await connection.received();
			program.stdin?.end("destroy");
		});
		const program = run(
			server,
			`process.stdin.once("data", () => client.destroy());
			console.log((await client.send(mail)).responses[0].error.code);`,
		);
		expect(await ending(program)).toEqual({ code: 0, output: "ERR_QMTP_DESTROYED\n" });
	});
}

function run(server: ScriptedServer, program: string): ChildProcess {
	const text = `
		const { QmtpClient } = await import(${JSON.stringify(compiled.href)});
		const client = new QmtpClient({ port: ${server.port} });
		const mail = { sender: "s@example.org", recipients: ["r@example.com"], message: "hello" };
		${program}`;
	const child = spawn(process.execPath, ["--input-type=module", "-e", text]);
	onTestFinished(() => {
		child.kill("SIGKILL");
	});
	return child;
}

async function ending(child: ChildProcess): Promise<{ code: number | null; output: string }> {
	let output = "";
	for (const stream of [child.stdout, child.stderr]) {
		stream?.setEncoding("utf8").on("data", (text) => {
			output += text;
		});
	}
	const [code] = (await once(child, "close")) as [number | null];
	return { code, output };
}

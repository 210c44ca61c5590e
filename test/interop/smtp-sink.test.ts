/** The SMTP client against Postfix's smtp-sink, a server that others wrote. */
import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { bytesBody } from "../../src/body/body.js";
import { SmtpClient } from "../../src/smtp/client.js";
import type { SmtpClientOptions } from "../../src/smtp/options.js";
import { noUnhandledRejections } from "../support/client-rejections.js";
import { describeWithPrograms, findProgram } from "../support/peers.js";
import { smtpMail } from "../support/smtp-peer.js";

noUnhandledRejections();

describeWithPrograms("smtp-sink", { "smtp-sink": "postfix" }, suite);

function suite(): void {
	test("takes messages, one after the other over one connection, and gets their bytes", async () => {
		const sink = await startSink();
		const client = sink.client();
		const bodies = ["", "a\n", ".\n..\n.a\n", "a\r\n.\r\nb\r\n", "a\n.\nb\n", "x.\r.\ry\n"];
		const results = await Promise.all(bodies.map((body) => client.send(smtpMail({ body }))));
		expect(results.flat().map(({ status }) => status)).toEqual(bodies.map(() => "K"));
		await client.close();
		expect((await sink.received()).sort()).toEqual(
			["\n", "a\n", ".\n..\n.a\n", "a\n.\nb\n", "a\n.\nb\n", "x. . y\n"].sort(),
		);
	});

	test("takes 5 MB of random bytes, for several recipients", async () => {
		const sink = await startSink();
		const client = sink.client();
		const bytes = randomBytes(5_000_000);
		const recipients = Array.from({ length: 20 }, (_, index) => `rcpt${index}@example.com`);
		const results = await client.send(smtpMail({ body: bytesBody(bytes), recipients }));
		expect(results.map(({ status }) => status)).toEqual(recipients.map(() => "K"));
		await client.close();
		const lines = bytes.toString("latin1").replaceAll("\r\n", "\n").replaceAll("\r", " ");
		const expected = lines.endsWith("\n") ? lines : `${lines}\n`;
		expect((await sink.received()).map((message) => message === expected)).toEqual([true]);
	});

	test("refuses at each command, for good and for now", async () => {
		for (const step of ["MAIL", "RCPT", "DATA", "."]) {
			for (const [option, status] of [
				["-f", "D"],
				["-r", "Z"],
			] as const) {
				const sink = await startSink([option, step]);
				const [result] = await sink.client().send(smtpMail());
				const description = expect.stringMatching(status === "D" ? /^5\d\d / : /^4\d\d /);
				expect(result, `${option} ${step}`).toEqual({ recipient: "rcpt@example.com", status, description });
			}
		}
	});

	test("disconnects at each command, with and without pipelining", async () => {
		for (const step of ["EHLO", "MAIL", "RCPT", "DATA", "."]) {
			for (const options of [[], ["-p"]]) {
				const sink = await startSink([...options, "-q", step]);
				const [result] = await sink.client().send(smtpMail());
				expect(result?.status, step).toBe("Z");
				expect(result?.error?.code, step).toMatch(/^ERR_QMTP_CONNECTION_(CLOSED|LOST)$/);
				expect(result?.possiblyAccepted, step).toBe(step === ".");
			}
		}
	});

	test("speaks SMTP without extensions", async () => {
		const sink = await startSink(["-8", "-e"]);
		const [result] = await sink.client().send(smtpMail({ body: "\u00ff\n" }));
		expect(result?.status).toBe("K");
	});
}

interface Sink {
	client(options?: Partial<SmtpClientOptions>): SmtpClient;
	/** What it has stored, without the fields and the empty line that it adds, once it has ended. */
	received(): Promise<string[]>;
}

/** Starts smtp-sink; it ends with the test. */
async function startSink(options: readonly string[] = []): Promise<Sink> {
	const directory = await mkdtemp(join(tmpdir(), "qmtp-sink-"));
	const port = await freePort();
	const user = process.getuid?.() === 0 ? ["-u", "root"] : []; // else it refuses to run as root
	const args = [...user, ...options, "-d", join(directory, "mail."), `127.0.0.1:${port}`, "100"];
	const child = spawn(findProgram("smtp-sink") as string, args, { stdio: "ignore" });
	onTestFinished(async () => {
		await end(child);
		await rm(directory, { recursive: true });
	});
	await listening(port, child);
	return {
		client: (options) => {
			const client = new SmtpClient({ host: "127.0.0.1", port, ...options });
			onTestFinished(async () => {
				client.destroy();
				await client.close();
			});
			return client;
		},
		received: async () => {
			await end(child);
			const names = await readdir(directory);
			const files = await Promise.all(names.map((name) => readFile(join(directory, name), "latin1")));
			const added = /^(?:X-[\w-]+:.*\n|Received:.*\n(?:[ \t].*\n)*)*|\n$/g;
			return files.map((file) => file.replace(added, ""));
		},
	};
}

async function freePort(): Promise<number> {
	const server = createServer().listen(0, "127.0.0.1");
	await once(server, "listening");
	const { port } = server.address() as { port: number };
	server.close();
	await once(server, "close");
	return port;
}

/** It does not say when it listens: tries until it does. */
async function listening(port: number, child: ChildProcess): Promise<void> {
	while (child.exitCode === null) {
		const socket = connect(port, "127.0.0.1");
		const connected = await new Promise((resolve) => {
			socket.once("connect", () => resolve(true));
			socket.once("error", () => resolve(false));
		});
		socket.destroy();
		if (connected) return;
	}
	throw new Error(`smtp-sink ended with ${child.exitCode}`);
}

async function end(child: ChildProcess): Promise<void> {
	if (child.exitCode !== null || child.signalCode !== null) return;
	child.kill();
	await once(child, "exit");
}

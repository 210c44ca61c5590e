/** The clients that drive smtp-server: Postfix's smtp-source, and nodemailer's pool. */
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { createTransport } from "nodemailer";
import { findProgram } from "./programs.js";

/** What a client sends. */
export interface SmtpLoad {
	readonly port: number;
	readonly messages: number;
	/** Connections at once, or sessions. */
	readonly sessions: number;
	readonly body: Uint8Array;
}

/** By smtp-source, with a body of as many bytes; each session keeps its connection. Rejects if a reply is not the expected. */
export async function sendBySource({ port, messages, sessions, body }: SmtpLoad): Promise<void> {
	const source = findProgram("smtp-source");
	if (source === null) throw new Error("smtp-source is not installed");
	const addresses = ["-f", "sender@example.org", "-t", "recipient@example.com", "-M", "client.example.org"];
	const load = ["-s", `${sessions}`, "-m", `${messages}`, "-l", `${body.length}`];
	await promisify(execFile)(source, ["-d", "-4", ...addresses, ...load, `127.0.0.1:${port}`], {
		timeout: TIMEOUT_MS,
	});
}

/** By nodemailer, which is given all messages at once. Rejects if one is refused. */
export async function sendByNodemailer({ port, messages, sessions, body }: SmtpLoad): Promise<void> {
	const transport = createTransport({
		pool: true,
		maxConnections: sessions,
		maxMessages: Number.POSITIVE_INFINITY, // of one connection
		host: "127.0.0.1",
		port,
		ignoreTLS: true,
		name: "client.example.org",
	});
	const envelope = { from: "sender@example.org", to: ["recipient@example.com"] };
	const raw = Buffer.from(body);
	try {
		const results = await Promise.all(
			Array.from({ length: messages }, () => transport.sendMail({ envelope, raw })),
		);
		if (results.some(({ accepted }) => accepted.length !== 1)) throw new Error("a message was not accepted");
	} finally {
		transport.close();
	}
}

const TIMEOUT_MS = 60_000;

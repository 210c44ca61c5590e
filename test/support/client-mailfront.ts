/** mailfront's QMTP server, the real one, for tests of the client. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { findProgram } from "./peers.js";

/** A running server. */
export interface Mailfront {
	readonly port: number;
	stop(): Promise<void>;
}

/** What it takes to start it: programs, and the Debian packages that bring them. */
export const MAILFRONT_PROGRAMS = { tcpserver: "ucspi-tcp", "qmtpfront-echo": "mailfront" };

/** Starts qmtpfront-echo, which accepts all mail and keeps none, under tcpserver on a free port. */
export async function startMailfront(environment: Readonly<Record<string, string>> = {}): Promise<Mailfront> {
	const home = mkdtempSync(join(tmpdir(), "qmtp-mailfront-"));
	mkdirSync(join(home, "control"));
	const child = spawn(
		findProgram("tcpserver") as string,
		["-1", "-H", "-R", "-l0", "-D", "127.0.0.1", "0", findProgram("qmtpfront-echo") as string, ...PLUGINS],
		{
			env: { PATH, QMAILHOME: home, RELAYCLIENT: "", ...environment },
			stdio: ["ignore", "pipe", "pipe"],
			detached: true, // a group of its own, with the process of each connection
		},
	);
	let log = "";
	child.stderr.setEncoding("utf8").on("data", (text) => {
		log += text;
	});
	const [line] = (await Promise.race([
		once(child.stdout.setEncoding("utf8"), "data"),
		once(child, "exit").then(() => {
			throw new Error(`tcpserver did not start: ${log}`);
		}),
	])) as [string];
	return {
		port: Number.parseInt(line, 10),
		async stop() {
			await end(child);
			rmSync(home, { recursive: true });
		},
	};
}

async function end(child: ChildProcess): Promise<void> {
	if (child.exitCode !== null || child.signalCode !== null) return;
	const exited = once(child, "exit");
	process.kill(-(child.pid as number), "SIGTERM"); // its group
	await exited;
}

const { PATH } = process.env;

// Without the plugin that adds a field, the echo crashes on bodies whose first block has no line end.
const PLUGINS = ["counters", "relayclient", "qmail-validate", "add-received", "accept-sender"];

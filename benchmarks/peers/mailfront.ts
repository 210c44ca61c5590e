/** mailfront's QMTP server in C, which accepts all mail and keeps none, under tcpserver. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { env } from "node:process";
import { findProgram } from "./programs.js";

/** A running server. It ends with this process, if not before. */
export class Mailfront {
	readonly port: number;
	readonly #child: ChildProcess;

	private constructor(child: ChildProcess, port: number) {
		this.#child = child;
		this.port = port;
	}

	/** Starts it on a free port. @param folder - Where its control files would be. */
	static async start(folder: string): Promise<Mailfront> {
		const home = join(folder, "qmail");
		mkdirSync(join(home, "control"), { recursive: true });
		const { PATH } = env;
		// -D: no delay, as our server; nobody is asked for names, and the first line of output is the port.
		const args = ["-1", "-H", "-R", "-l0", "-D", "127.0.0.1", "0", program("qmtpfront-echo"), ...PLUGINS];
		const child = spawn(program("tcpserver"), args, {
			env: { PATH, QMAILHOME: home, RELAYCLIENT: "" },
			stdio: ["ignore", "pipe", "ignore"], // its three lines of log a message cost it less so
			detached: true, // a group of its own, with the process of each connection
		});
		process.on("exit", () => kill(child));
		const [line] = await Promise.race([
			once(child.stdout.setEncoding("utf8"), "data"),
			once(child, "exit").then(([code]) => Promise.reject(new Error(`tcpserver ended with ${code}`))),
		]);
		return new Mailfront(child, Number.parseInt(line, 10));
	}

	/** Ends it, and resolves when it has ended. */
	async stop(): Promise<void> {
		const exited = once(this.#child, "exit");
		kill(this.#child);
		await exited;
	}
}

function kill(child: ChildProcess): void {
	if (child.exitCode === null && child.signalCode === null) process.kill(-(child.pid as number), "SIGTERM");
}

function program(name: Parameters<typeof findProgram>[0]): string {
	const path = findProgram(name);
	if (path === null) throw new Error(`${name} is not installed`);
	return path;
}

// As few as there can be. It adds a field as our server does; without that plugin the echo crashes on bodies whose first
// block has no line end.
const PLUGINS = ["add-received", "accept"];

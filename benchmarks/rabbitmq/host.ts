/**
 * Where RabbitMQ nodes of our own live: a temporary directory with their cookie, and an epmd of their own by which they find
 * each other. All is on the loopback interface, and on ports that were free. Nothing of it outlives this process: the system
 * kills the processes when this one dies, however that comes.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes, randomInt } from "node:crypto";
import { once } from "node:events";
import { existsSync, rmSync, writeFileSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { join } from "node:path";
import { temporaryFolder } from "../folder.js";

/** Where Debian's package rabbitmq-server has its programs. The ones in PATH must be called by root. */
export const PROGRAMS = "/usr/lib/rabbitmq/bin";

/** Whether a node can be started here. */
export function rabbitmqInstalled(): boolean {
	return existsSync(join(PROGRAMS, "rabbitmq-server"));
}

/** The home of one node, or of those of a cluster. */
export class BrokerHost {
	readonly directory: string = temporaryFolder();
	/** The environment of its programs. What the caller's says of RabbitMQ does not count. */
	readonly environment: Readonly<Record<string, string>>;
	readonly #epmd: ChildProcess;

	private constructor(epmdPort: number) {
		const cookie = join(this.directory, ".erlang.cookie");
		writeFileSync(cookie, randomBytes(15).toString("hex"), { mode: 0o400 });
		const { PATH = "/usr/bin:/bin" } = process.env;
		this.environment = {
			PATH,
			LANG: "C.UTF-8",
			HOME: this.directory,
			ERL_EPMD_ADDRESS: "127.0.0.1",
			ERL_EPMD_PORT: String(epmdPort),
			RABBITMQ_CONF_ENV_FILE: "/dev/null",
		};
		// In the foreground, since one that a node starts has a process number that nobody tells.
		this.#epmd = startTied("epmd", [], { cwd: this.directory, env: this.environment, stdio: "ignore" });
	}

	static async open(): Promise<BrokerHost> {
		return new BrokerHost(await freePort());
	}

	/** Ends epmd, and removes the directory. The nodes must have ended. */
	async close(): Promise<void> {
		await endProcess(this.#epmd, "SIGKILL");
		rmSync(this.directory, { recursive: true, force: true, maxRetries: 3 });
	}
}

/** Starts a program in a group of its own that dies with this process. */
export function startTied(
	program: string,
	args: readonly string[],
	options: { cwd: string; env: Readonly<Record<string, string>>; stdio: "ignore" | "pipe" },
): ChildProcess {
	// setpriv becomes the program, so the process number is the program's own. The hook is for the time before that.
	const tied = ["--pdeathsig", "KILL", "--", program, ...args];
	const child = spawn("setpriv", tied, { ...options, detached: true });
	child.on("error", () => {}); // its end is told as well
	if (running.size === 0) process.once("exit", killAll);
	running.add(child);
	child.once("close", () => running.delete(child));
	return child;
}

/** Resolves when it has ended. */
export async function endProcess(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
	if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
	const exit = once(child, "exit");
	child.kill(signal);
	await exit;
}

/**
 * A port that is free, and that the system gives to nobody who does not ask for it: it is below those for outgoing
 * connections. One of those might be taken while its node is down, even by the client that looks for the node.
 */
export async function freePort(): Promise<number> {
	for (;;) {
		const port = randomInt(20_000, 32_000);
		if (given.has(port)) continue;
		const server = createServer();
		try {
			await once(server.listen(port, "127.0.0.1"), "listening");
		} catch {
			continue; // it is in use
		}
		const { port: found } = server.address() as AddressInfo;
		await new Promise((resolve) => server.close(resolve));
		given.add(found);
		return found;
	}
}

function killAll(): void {
	for (const child of running) child.kill("SIGKILL");
}

const running = new Set<ChildProcess>();
const given = new Set<number>();

/** The program `qmtp` as a process, from dist: `npm test` builds it first. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** The program's file. */
export const MAIN: string = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));

/** A program that was started. */
export interface Running {
	readonly child: ChildProcess;
	/** What it has written so far. */
	stdout: string;
	stderr: string;
	/** Resolves with the first match on standard output or error. */
	until(stream: "stdout" | "stderr", pattern: RegExp): Promise<RegExpExecArray>;
	/** Resolves with its exit code when it has ended and its output is read. */
	readonly exit: Promise<number | null>;
}

/** What a program that has ended left. */
export interface Finished {
	readonly code: number | null;
	readonly stdout: string;
	readonly stderr: string;
}

/** How to start it. */
export interface ProgramOptions {
	readonly cwd?: string | undefined;
	/** What it reads on standard input; null: the caller writes it. */
	readonly input?: string | Uint8Array | null;
	/** Variables besides the environment of the tests. */
	readonly env?: Readonly<Record<string, string | undefined>>;
}

/** Starts `qmtp` with these arguments. */
export function start(args: readonly string[], options: ProgramOptions = {}): Running {
	const env = { ...process.env, ...options.env };
	const child = spawn(process.execPath, [MAIN, ...args], { cwd: options.cwd, env, stdio: "pipe" });
	child.stdin.on("error", () => {}); // it may end without having read all
	if (options.input !== null) child.stdin.end(options.input ?? "");
	const listeners = new Set<() => void>();
	const running: Running = {
		child,
		stdout: "",
		stderr: "",
		until: (stream, pattern) =>
			new Promise((resolve, reject) => {
				const look = () => {
					const match = pattern.exec(running[stream]);
					if (match === null) return;
					listeners.delete(look);
					resolve(match);
				};
				listeners.add(look);
				look();
				running.exit.then((code) => {
					look();
					reject(new Error(`ended with ${code} without ${pattern}; stderr: ${running.stderr}`));
				});
			}),
		exit: once(child, "close").then(([code]) => code as number | null),
	};
	for (const name of ["stdout", "stderr"] as const) {
		child[name].setEncoding("utf8").on("data", (text: string) => {
			running[name] += text;
			for (const look of listeners) look();
		});
	}
	return running;
}

/** Runs `qmtp` to its end. */
export async function run(
	args: readonly string[],
	options: ProgramOptions & { readonly input?: string | Uint8Array } = {},
): Promise<Finished> {
	const running = start(args, options);
	const code = await running.exit;
	return { code, stdout: running.stdout, stderr: running.stderr };
}

/** Starts `qmtp serve` on a free port and hands it to `use`; afterwards it has ended and its directory is gone. */
export async function withServer(
	args: readonly string[],
	use: (server: Running & { port: string; directory: string }) => Promise<void>,
): Promise<void> {
	await withDirectory(async (directory) => {
		const running = start(["serve", "--port", "0", ...args], { cwd: directory });
		try {
			const [, port = ""] = await running.until("stdout", /^listening on 127\.0\.0\.1:(\d+)\n/);
			await use(Object.assign(running, { port, directory }));
		} finally {
			running.child.kill("SIGKILL");
			await running.exit;
		}
	});
}

/** Hands an empty directory to `use` and removes it afterwards. */
export async function withDirectory(use: (directory: string) => Promise<void>): Promise<void> {
	const directory = await mkdtemp(join(tmpdir(), "qmtp-test-"));
	try {
		await use(directory);
	} finally {
		await rm(directory, { recursive: true, force: true });
	}
}

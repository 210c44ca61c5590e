/** Processes of tests: their output as it comes, and their end. */
import { type ChildProcess, type SpawnOptions, spawn } from "node:child_process";
import { once } from "node:events";

/** Starts a program in a group of its own; `until` resolves with the first match in what it has written. */
export function startProcess(
	program: string,
	args: readonly string[],
	options: SpawnOptions = {},
): {
	child: ChildProcess;
	output: () => string;
	until(pattern: RegExp): Promise<RegExpExecArray>;
	stop(): Promise<void>;
} {
	const child = spawn(program, args, { ...options, stdio: ["ignore", "pipe", "pipe"], detached: true });
	const exited = once(child, "exit");
	let output = "";
	const watchers = new Set<() => void>();
	for (const stream of [child.stdout, child.stderr]) {
		stream?.setEncoding("utf8").on("data", (text: string) => {
			output += text;
			for (const look of watchers) look();
		});
	}
	return {
		child,
		output: () => output,
		until: (pattern) =>
			new Promise((resolve, reject) => {
				const look = () => {
					const match = pattern.exec(output);
					if (match === null) return;
					watchers.delete(look);
					resolve(match);
				};
				watchers.add(look);
				look();
				exited.then(() => reject(new Error(`${program} ended without ${pattern}: ${output}`)), reject);
			}),
		async stop() {
			if (child.exitCode === null && child.signalCode === null)
				process.kill(-(child.pid as number), "SIGTERM");
			await exited;
		},
	};
}

/**
 * Server processes of the benchmarks: the parent starts a module, asks it questions one at a time, and ends it by
 * disconnecting; so none is left when the parent dies.
 */
import { type ChildProcess, fork } from "node:child_process";

/** A server process, seen from the benchmark. */
export class Child {
	readonly #process: ChildProcess;
	readonly #module: URL;

	/**
	 * @param module - It calls {@link answerParent}.
	 * @param args - Arguments of the module.
	 * @param execArgv - Options of Node.
	 */
	constructor(module: URL, args: readonly string[], execArgv: readonly string[] = []) {
		this.#module = module;
		this.#process = fork(module, args, { execArgv: [...execArgv] });
	}

	/** What the module answers. Rejects if the process ends instead. */
	ask<T>(question: string): Promise<T> {
		return new Promise((resolve, reject) => {
			const ended = () => reject(new Error(`${this.#module} has ended`));
			this.#process.once("exit", ended);
			this.#process.once("message", (answer) => {
				this.#process.off("exit", ended);
				resolve(answer as T);
			});
			this.#process.send(question, (error) => {
				if (error) reject(error);
			});
		});
	}

	/** The processor time of the process so far, in us. */
	async cpu(): Promise<number> {
		const { user, system } = await this.ask<NodeJS.CpuUsage>("cpu");
		return user + system;
	}

	/** Ends the process, and resolves when it has ended. */
	async stop(): Promise<void> {
		await new Promise((resolve) => {
			this.#process.once("exit", resolve);
			this.#process.disconnect();
		});
	}
}

/** The other side: answers each question by the function of that name, and `cpu` by itself, and ends with the parent. */
export function answerParent(answers: Readonly<Record<string, () => unknown>>): void {
	const all: typeof answers = { cpu: () => process.cpuUsage(), ...answers };
	process.on("message", async (question: string) => {
		process.send?.(await all[question]?.());
	});
	process.on("disconnect", () => process.exit());
}

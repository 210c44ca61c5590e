/** The program that takes the messages: whether it can be run, how it is started, and why it could not be. */
import { type ChildProcess, type SpawnOptions, spawn } from "node:child_process";
import { access, constants, stat } from "node:fs/promises";
import { resolve } from "node:path";
import { QueueError } from "../../errors.js";
import type { Environment } from "./environment.js";

/** A program and its arguments. */
export type Command = readonly [program: string, ...args: string[]];

/**
 * Starts a program in `home`, in a process group of its own, with pipes on descriptors 0, 1 and 6. It is running when
 * this returns, unless its `pid` is undefined: then the error comes by its event. Some errors are thrown.
 */
export function startProgram([program, ...args]: Command, home: string, env: Environment): ChildProcess {
	return spawn(program, args, { cwd: home, env, stdio: STDIO, detached: true });
}

/** Why a program did not start; resolves when the event has come, and nothing is left of it. */
export function failureOf(process: ChildProcess): Promise<Error> {
	// Its pipes fail too, and do not exist if there were no descriptors for them.
	for (const stream of process.stdio ?? []) stream?.on("error", ignore).destroy();
	return new Promise((settle) => {
		process.once("error", settle);
	});
}

/** The answer to a message whose program could not be started. */
export async function startError(cause: unknown, home: string): Promise<QueueError> {
	if (cause instanceof QueueError) return cause;
	if (!NOT_EXECUTED.has((cause as NodeJS.ErrnoException | null)?.code ?? "")) {
		return new QueueError("ERR_QMTP_QUEUE", "qq temporary problem (#4.3.0)", { cause });
	}
	// The system says the same whether it is the directory or the program that is missing.
	return (await homeError(home)) ?? notExecutable(cause);
}

/** Makes sure that the program can be run in `home`. @throws QueueError as its start would. */
export async function checkProgram([program]: Command, home: string): Promise<void> {
	const error = await homeError(home);
	if (error !== null) throw error;
	let problem: unknown = new Error(`${program} is not in a directory of PATH`);
	for (const path of pathsOf(program, home)) {
		try {
			await access(path, constants.X_OK);
			if ((await stat(path)).isFile()) return;
			problem = new Error(`${path} is no file`);
		} catch (error) {
			if (program.includes("/")) problem = error;
		}
	}
	throw notExecutable(problem);
}

/** Where execvp() looks for a program. */
function pathsOf(program: string, home: string): string[] {
	if (program.includes("/")) return [resolve(home, program)];
	const { PATH = DEFAULT_PATH } = process.env;
	return PATH.split(":").map((directory) => resolve(home, directory, program));
}

async function homeError(home: string): Promise<QueueError | null> {
	try {
		await access(home, constants.X_OK);
		if ((await stat(home)).isDirectory()) return null;
		return badHome(new Error(`${home} is no directory`));
	} catch (error) {
		return badHome(error);
	}
}

function badHome(cause: unknown): QueueError {
	return new QueueError("ERR_QMTP_QUEUE", "qq trouble in home directory (#4.3.0)", { cause });
}

function notExecutable(cause: unknown): QueueError {
	return new QueueError("ERR_QMTP_QUEUE", "unable to exec qq (#4.3.0)", { cause });
}

function ignore(): void {}

// Descriptors 3 to 5 are not open in the child.
const STDIO: SpawnOptions["stdio"] = ["pipe", "pipe", "inherit", "ignore", "ignore", "ignore", "pipe"];
const DEFAULT_PATH = "/bin:/usr/bin"; // of glibc and musl, if there is no PATH

// What is wrong with the program or its directory. All else, such as EAGAIN or EMFILE, is a want of the system.
const NOT_EXECUTED = new Set([
	"E2BIG",
	"EACCES",
	"EINVAL",
	"EISDIR",
	"ELIBBAD",
	"ELOOP",
	"ENAMETOOLONG",
	"ENOENT",
	"ENOEXEC",
	"ENOTDIR",
	"EPERM",
	"ETXTBSY",
]);

#!/usr/bin/env node
/** The program `qmtp`. */
import { readFileSync } from "node:fs";
import { type Command, DONE, parseArguments, TEMPORARY, usage, WRONG_USE, WrongUse } from "./command.js";
import { printable } from "./printable.js";
import { send } from "./send.js";
import { serve } from "./serve.js";

const COMMANDS: readonly Command[] = [serve, send];

async function main(argv: readonly string[]): Promise<number> {
	const [name, ...rest] = argv;
	if (name === "--help" || name === "-h" || name === "help") {
		process.stdout.write(overview());
		return DONE;
	}
	if (name === "--version") {
		process.stdout.write(`${version()}\n`);
		return DONE;
	}
	const command = COMMANDS.find((candidate) => candidate.name === name);
	if (command === undefined) {
		const problem = name === undefined ? "a command is missing" : `there is no command '${printable(name)}'`;
		return complain(`qmtp: ${problem} (try: qmtp --help)`, WRONG_USE);
	}
	if (rest.includes("--help") || rest.includes("-h")) {
		process.stdout.write(usage(command));
		return DONE;
	}
	try {
		return await command.run(parseArguments(command, rest));
	} catch (error) {
		const problem = `qmtp ${command.name}: ${printable((error as Error).message)}`;
		if (error instanceof WrongUse)
			return complain(`${problem} (try: qmtp ${command.name} --help)`, WRONG_USE);
		return complain(problem, TEMPORARY);
	}
}

function overview(): string {
	const width = Math.max(...COMMANDS.map(({ name }) => name.length));
	return [
		"usage: qmtp COMMAND [options]",
		"",
		...COMMANDS.map(({ name, summary }) => `  ${name.padEnd(width)}  ${summary}`),
		"",
		"qmtp COMMAND --help tells more. Exit codes: 0 done, 100 permanent failure, 111 temporary failure, 1 wrong use.",
		"",
	].join("\n");
}

function version(): string {
	const url = new URL("../../package.json", import.meta.url);
	return (JSON.parse(readFileSync(url, "utf8")) as { version: string }).version;
}

function complain(line: string, code: number): number {
	process.stderr.write(`${line}\n`);
	return code;
}

// Whoever reads our output may leave early; what they did not want to read is no failure.
process.stdout.on("error", () => {});
process.stderr.on("error", () => {});
process.exitCode = await main(process.argv.slice(2));

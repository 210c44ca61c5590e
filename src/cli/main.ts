#!/usr/bin/env node
/** The program `qmtp`. */
import { readFileSync } from "node:fs";
import { type Command, DONE, parseArguments, TEMPORARY, usage, WRONG_USE, WrongUse } from "./command.js";
import { printable } from "./printable.js";

// Each is loaded when it is asked for: tcpserver starts `qmtpd` anew for each connection.
const COMMANDS: Readonly<Record<string, () => Promise<Command>>> = {
	serve: async () => (await import("./serve.js")).serve,
	qmtpd: async () => (await import("./qmtpd.js")).qmtpd,
	remote: async () => (await import("./remote.js")).remote,
	relay: async () => (await import("./relay.js")).relay,
	send: async () => (await import("./send.js")).send,
	maildir: async () => (await import("./maildir.js")).maildir,
	spool: async () => (await import("./spool.js")).spool,
	rabbitmq: async () => (await import("./rabbitmq.js")).rabbitmq,
	probe: async () => (await import("./probe.js")).probe,
	mx: async () => (await import("./mx.js")).mx,
};

async function main(argv: readonly string[]): Promise<number> {
	const [name, ...rest] = argv;
	if (name === "--help" || name === "-h" || name === "help") {
		process.stdout.write(await overview());
		return DONE;
	}
	if (name === "--version") {
		process.stdout.write(`${version()}\n`);
		return DONE;
	}
	const load = name !== undefined && Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
	if (load === undefined) {
		const problem = name === undefined ? "a command is missing" : `there is no command '${printable(name)}'`;
		return complain(`qmtp: ${problem} (try: qmtp --help)`, WRONG_USE);
	}
	const command = await load();
	if (asksForHelp(command, rest)) {
		process.stdout.write(usage(command));
		return DONE;
	}
	try {
		return await command.run(parseArguments(command, rest));
	} catch (error) {
		const problem = `qmtp ${command.name}: ${printable((error as Error).message)}`;
		if (error instanceof WrongUse) return wronglyUsed(command, problem);
		return complain(problem, TEMPORARY);
	}
}

function asksForHelp({ optionsFirst }: Command, args: readonly string[]): boolean {
	const options = optionsFirst === true ? args.slice(0, 1) : args; // behind it an address may be called that
	return options.includes("--help") || options.includes("-h");
}

function wronglyUsed({ name, wrongUse = WRONG_USE }: Command, problem: string): number {
	const { code, output } = typeof wrongUse === "number" ? { code: wrongUse, output: "" } : wrongUse;
	process.stdout.write(output);
	return complain(`${problem} (try: qmtp ${name} --help)`, code);
}

async function overview(): Promise<string> {
	const commands = await Promise.all(Object.values(COMMANDS).map((load) => load()));
	const width = Math.max(...commands.map(({ name }) => name.length));
	return [
		"usage: qmtp COMMAND [options]",
		"",
		...commands.map(({ name, summary }) => `  ${name.padEnd(width)}  ${summary}`),
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
	process.stderr.write(`${line.replace(PASSWORD_IN_URL, "$1$2:...@")}\n`);
	return code;
}

// A URL may stand where none belongs. The word itself stands in what says how one is written.
// Nobody writes spaces into other URLs; a password of a broker may have some, so all up to the last @ is hidden.
const PASSWORD_IN_URL = /(amqps?:\/\/[^\s:/@]*):(?!PASSWORD@).*@|(\/\/[^\s:/@]*):(?!PASSWORD@)\S*@/gi;

// Whoever reads our output may leave early; what they did not want to read is no failure.
process.stdout.on("error", () => {});
process.stderr.on("error", () => {});
process.exitCode = await main(process.argv.slice(2));

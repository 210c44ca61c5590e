/**
 * Commands as tables: one table gives the options that are parsed and the usage that is printed.
 */
import { type ParseArgsConfig, parseArgs } from "node:util";

/** An option of a command. */
export interface Option {
	/** What stands for its value in the usage, such as `PORT`; without one it is a switch. */
	readonly value?: string;
	/** One letter that it may be called by as well: `-b`. */
	readonly short?: string;
	/** It may be given more than once. */
	readonly multiple?: boolean;
	/** It must be given. */
	readonly required?: boolean;
	/** Shown in the usage. */
	readonly fallback?: string;
	readonly help: string;
}

/** A command of the program. */
export interface Command {
	readonly name: string;
	/** One line. */
	readonly summary: string;
	/** What may follow the options in the usage, such as `[FILE ...]`. Empty: nothing may. */
	readonly operands: string;
	readonly options: Readonly<Record<string, Option>>;
	/**
	 * What wrong use is, if it is not {@link WRONG_USE}: the exit code of the program whose place it takes, and what that
	 * writes on standard output.
	 */
	readonly wrongUse?: number | { readonly code: number; readonly output: string };
	/** Options end at the first operand: what follows may start with a hyphen. */
	readonly optionsFirst?: boolean;
	/** More about it, at the end of the usage. */
	readonly notes?: readonly string[];
	/** @returns The exit code. */
	run(args: Arguments): Promise<number>;
}

/** What was given on the command line. */
export interface Arguments {
	/** The values of an option, in order; empty if it was not given. */
	all(name: string): readonly string[];
	/** The last value of an option. */
	one(name: string): string | undefined;
	readonly operands: readonly string[];
}

/** Exit codes: those of qmail's programs, and 1 for wrong use. */
export const DONE = 0;
export const WRONG_USE = 1;
export const PERMANENT = 100;
export const TEMPORARY = 111;

/** The signals that ask a command to end. */
export const SIGNALS: readonly NodeJS.Signals[] = ["SIGTERM", "SIGINT"];

/** The command line is wrong; the message says how, in one line. */
export class WrongUse extends Error {}

/** Reads a command line. @throws WrongUse. */
export function parseArguments(command: Command, argv: readonly string[]): Arguments {
	const options: NonNullable<ParseArgsConfig["options"]> = {};
	for (const [name, option] of Object.entries(command.options)) {
		const type = option.value === undefined ? "boolean" : "string";
		options[name] = { type, multiple: true, ...(option.short === undefined ? {} : { short: option.short }) };
	}
	const args = command.optionsFirst === true ? operandsApart(command, argv) : [...argv];
	let parsed: ReturnType<typeof parseArgs>;
	try {
		parsed = parseArgs({ args, options, allowPositionals: true, strict: true });
	} catch (error) {
		// Node adds how to write what looks like an option; the first sentence says what is wrong.
		throw new WrongUse((error as Error).message.split(/\.\s|\n/)[0]?.replace(/^./, (c) => c.toLowerCase()));
	}
	const operands = parsed.positionals;
	if (command.operands === "" && operands.length > 0)
		throw new WrongUse(`unexpected argument '${operands[0]}'`);
	const values = parsed.values as Record<string, (string | boolean)[] | undefined>;
	const all = (name: string) => (values[name] ?? []).map(String);
	for (const [name, option] of Object.entries(command.options)) {
		if (option.required === true && all(name).length === 0) throw new WrongUse(`--${name} is missing`);
		if (option.multiple !== true && all(name).length > 1)
			throw new WrongUse(`--${name} was given more than once`);
	}
	return { all, one: (name) => all(name).at(-1), operands };
}

/** The command line with `--` before its first operand. */
function operandsApart(command: Command, argv: readonly string[]): string[] {
	let at = 0;
	for (let word = argv[at]; word?.startsWith("-") && word !== "--"; word = argv[at]) {
		const takesNext = command.options[word.slice(2)]?.value !== undefined; // and with "=" it has its value
		at += takesNext ? 2 : 1;
	}
	return argv[at] === "--" ? [...argv] : [...argv.slice(0, at), "--", ...argv.slice(at)];
}

/** How to use a command, several lines. */
export function usage(command: Command): string {
	const rows = Object.entries(command.options).map(([name, option]) => {
		const names = option.short === undefined ? `--${name}` : `-${option.short}, --${name}`;
		const left = option.value === undefined ? names : `${names} ${option.value}`;
		const more = option.multiple === true ? " (may be repeated)" : "";
		const fallback = option.fallback === undefined ? "" : ` [${option.fallback}]`;
		return [left, `${option.help}${more}${fallback}`] as const;
	});
	const width = Math.max(...rows.map(([left]) => left.length));
	return [
		`usage: qmtp ${command.name} [options] ${command.operands}`.trimEnd(),
		"",
		command.summary,
		"",
		...rows.map(([left, right]) => `  ${left.padEnd(width)}  ${right}`),
		...(command.notes === undefined ? [] : ["", ...command.notes]),
		"",
	].join("\n");
}

/** The value of an option that is a whole number. @throws WrongUse. */
export function wholeNumber(args: Arguments, name: string, least: number, most: number): number | undefined {
	const text = args.one(name);
	if (text === undefined) return undefined;
	const number = /^\d+$/.test(text) ? Number(text) : Number.NaN;
	if (number >= least && number <= most) return number;
	throw new WrongUse(`--${name} must be a whole number from ${least} to ${most}, not '${text}'`);
}

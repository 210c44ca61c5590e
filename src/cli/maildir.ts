/**
 * `qmtp maildir`: in the place of serialmail's maildirqmtp, it sends the mail in a maildir to a server.
 *
 * Source: maildirqmtp(1), maildirserial(1) and serialqmtp(1) of serialmail 0.75.
 */
import { statSync } from "node:fs";
import { join } from "node:path";
import { lock } from "../queue/maildir/lock.js";
import {
	type Arguments,
	type Command,
	PERMANENT,
	SIGNALS,
	TEMPORARY,
	WrongUse,
	wholeNumber,
} from "./command.js";
import { bounceNames } from "./maildir/bounce-message.js";
import { Bouncer } from "./maildir/bouncer.js";
import { Link } from "./maildir/link.js";
import { Mailbox } from "./maildir/mailbox.js";
import { Outcomes } from "./maildir/outcomes.js";
import { Report, reasonOf } from "./maildir/report.js";
import { emptyMaildir } from "./maildir/run.js";
import { type NamedQueue, namedQueue, prepareQueue, QUEUE_SYNTAX } from "./queues.js";

const LIFETIME = 1_209_600; // two weeks, as maildirqmtp has it

export const maildir: Command = {
	name: "maildir",
	summary:
		"In the place of maildirqmtp: sends the mail in the maildir DIR to HOST, and removes what was accepted.",
	operands: "DIR PREFIX HOST [PORT]",
	wrongUse: PERMANENT,
	options: {
		bounce: { short: "b", help: "send back what was refused or is too old, instead of keeping it" },
		lifetime: {
			short: "t",
			value: "SECONDS",
			help: "the age from which mail that gets a Z is too old",
			fallback: String(LIFETIME),
		},
		"bounce-queue": { value: "QUEUE", help: `where bounces go: ${QUEUE_SYNTAX}; with -b` },
		control: { value: "DIR", help: "qmail's control files, for bounces", fallback: "/var/qmail/control" },
		window: { value: "N", help: "the most messages that are sent and not answered", fallback: "1000" },
		wait: { help: "wait for the lock DIR/seriallock, instead of giving up" },
		"no-lock": { help: "take no lock: somebody else sees to it that this runs once" },
	},
	notes: [
		"Sends the files whose Delivered-To begins with PREFIX, without it, oldest first, over one connection. PORT is 209",
		"if none is given. The log on standard error is maildirserial's. Exits 0 if nothing is left, 111 if anything is.",
	],
	run: runMaildir,
};

async function runMaildir(args: Arguments): Promise<number> {
	const { path, prefix, host, port } = operands(args);
	const lifetime = wholeNumber(args, "lifetime", 0, Number.MAX_SAFE_INTEGER) ?? LIFETIME;
	const window = wholeNumber(args, "window", 1, 100_000) ?? 1000;
	const bounces = await bounceQueue(args);
	const report = new Report();
	const stop = stopOnSignals();
	try {
		if (!(await mayRun(path, args, report, stop.signal))) return TEMPORARY;
		const mailbox = new Mailbox(path, prefix);
		const bouncer = bounces === null ? null : await preparedBouncer(bounces, args);
		const outcomes = new Outcomes(mailbox, report, { bouncer, lifetime });
		const link = new Link({ host, port, window }, report);
		const exitCode = await emptyMaildir({ mailbox, link, outcomes, report, window, signal: stop.signal });
		await link.close();
		return exitCode;
	} catch (error) {
		report.fatal((error as Error).message);
		return TEMPORARY;
	} finally {
		stop.end();
		await bounces?.queue.close?.();
	}
}

interface Operands {
	readonly path: string;
	/** One character is one byte. */
	readonly prefix: string;
	readonly host: string;
	readonly port: number;
}

function operands({ operands: given }: Arguments): Operands {
	const [path, prefix, host, port = "209"] = given;
	if (path === undefined || prefix === undefined || host === undefined || given.length > 4)
		throw new WrongUse("DIR, PREFIX and HOST are needed, and nothing but PORT may follow");
	const number = /^\d+$/.test(port) ? Number(port) : Number.NaN;
	if (!(number >= 1 && number <= 65535))
		throw new WrongUse(`PORT must be a whole number from 1 to 65535, not '${port}'`);
	return { path, prefix: Buffer.from(prefix).toString("latin1"), host, port: number };
}

/** Null without `-b`. @throws WrongUse. */
async function bounceQueue(args: Arguments): Promise<NamedQueue | null> {
	const name = args.one("bounce-queue");
	const bounces = args.one("bounce") !== undefined;
	if (bounces !== (name !== undefined))
		throw new WrongUse(bounces ? "-b needs --bounce-queue" : "--bounce-queue needs -b");
	if (name === undefined) return null;
	if (/^(memory|discard):/.test(name)) throw new WrongUse(`--bounce-queue ${name} would lose the bounces`);
	return await namedQueue(name, "bounce-queue");
}

async function preparedBouncer(bounces: NamedQueue, args: Arguments): Promise<Bouncer> {
	const names = bounceNames(args.one("control") ?? "/var/qmail/control");
	await prepareQueue(bounces);
	return new Bouncer(bounces.queue, names);
}

/** True if the directory is there, and nobody else empties it. */
async function mayRun(path: string, args: Arguments, report: Report, signal: AbortSignal): Promise<boolean> {
	try {
		statSync(join(path, "."));
	} catch (error) {
		report.fatal(`unable to chdir to ${path}: ${reasonOf(error)}`);
		return false;
	}
	if (args.one("no-lock") !== undefined) return true;
	const file = join(path, "seriallock");
	try {
		if ((await lock(file, args.one("wait") !== undefined, signal)) !== null) return true;
		report.fatal(`unable to lock ${file}: temporary failure`); // setlock's words
	} catch (error) {
		if (!signal.aborted) report.fatal(`unable to lock ${file}: ${reasonOf(error)}`);
	}
	return false;
}

/** A first signal says that it is time to stop, a second one, or 30 seconds, that it is over. */
function stopOnSignals(): { readonly signal: AbortSignal; end(): void } {
	const controller = new AbortController();
	let timer: NodeJS.Timeout | undefined;
	const onSignal = () => {
		if (controller.signal.aborted) process.exit(TEMPORARY); // no harm: mail is removed only after its K
		timer = setTimeout(() => process.exit(TEMPORARY), PATIENCE_MS);
		controller.abort(new Error("interrupted"));
	};
	for (const name of SIGNALS) process.on(name, onSignal);
	return {
		signal: controller.signal,
		end() {
			clearTimeout(timer);
			for (const name of SIGNALS) process.removeListener(name, onSignal);
		},
	};
}

const PATIENCE_MS = 30_000;

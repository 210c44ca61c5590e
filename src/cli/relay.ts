/** `qmtp relay`: delivers the mail that a spool, a maildir or RabbitMQ keeps. It may run while servers use the same. */
import { hostname as systemHostname } from "node:os";
import { QueueError } from "../errors.js";
import type { Source } from "../queue/source.js";
import { Relay, type RelayedRecipient, type RelayOptions, type RelayReport } from "../relay/relay.js";
import { type Arguments, type Command, DONE, SIGNALS, TEMPORARY, WrongUse, wholeNumber } from "./command.js";
import { printable, printablePart } from "./printable.js";
import { namedSource, SOURCE_SYNTAX } from "./sources.js";

/** What `--to` may say. */
export const RELAY_SYNTAX: string = "mx | qmtp://HOST:PORT | smtp://HOST:PORT";

export const relay: Command = {
	name: "relay",
	summary:
		"Delivers the mail in a spool, a maildir or RabbitMQ: tries again what is put off, and sends back what cannot be delivered.",
	operands: "",
	options: {
		source: { value: "SOURCE", required: true, help: `where the mail is: ${SOURCE_SYNTAX}` },
		to: { value: "NEXT", required: true, help: `where it goes: ${RELAY_SYNTAX}` },
		hostname: {
			value: "NAME",
			help: "this host's name, in bounces and for EHLO",
			fallback: systemHostname(),
		},
		postmaster: { value: "ADDRESS", help: "who is told of bounces that bounce", fallback: "postmaster@NAME" },
		lifetime: { value: "SECONDS", help: "how long a message is tried", fallback: "604800" },
		concurrency: { value: "N", help: "the most deliveries at a time" },
		"per-destination": {
			value: "N",
			help: "the most of them to one domain; to an SMTP host, its connections",
		},
	},
	notes: [
		"mx: to the exchanges of each recipient's domain, by QMTP where they announce it and by SMTP elsewhere; else all mail",
		"to that host. The log is on standard output. SIGTERM and SIGINT end it when the deliveries under way are done, after",
		"30 seconds in any case; a second one ends it now. Nothing is lost by that: mail is removed when its K is there.",
	],
	run: runRelay,
};

/**
 * Starts to deliver the mail of a source. Bounces go into it, if it is a queue too, as a spool is; else say where.
 *
 * @param to - As `--to`.
 * @param log - Takes a line, without its end.
 * @throws WrongUse for what `--to` may not say; an error that says what is missing.
 */
export async function startRelay(
	source: Source,
	to: string,
	log: (line: string) => void,
	options: Partial<RelayOptions> = {},
): Promise<Relay> {
	const started = makeRelay({ ...options, source, to });
	follow(started, log);
	await started.start();
	return started;
}

async function runRelay(args: Arguments): Promise<number> {
	const log = (line: string) => void process.stdout.write(`${line}\n`);
	const options = optionsOf(args);
	const to = args.one("to") as string;
	const mail = await namedSource(args.one("source") as string, log);
	const stop = new AbortController();
	let running: Relay | null = null;
	const onSignal = () => {
		if (stop.signal.aborted) process.exit(TEMPORARY); // no harm: mail is removed only after its K
		setTimeout(() => process.exit(TEMPORARY), PATIENCE_MS).unref();
		stop.abort();
		running?.close();
	};
	for (const name of SIGNALS) process.on(name, onSignal);
	try {
		await mail.prepare();
		running = await startRelay(mail.source, to, log, { ...options, bounces: mail.bounces });
		log(`relaying ${printable(mail.name)} to ${printable(to)}`);
		await new Promise<void>((resolve) => {
			running?.once("close", resolve);
			if (stop.signal.aborted) running?.close(); // the signal came first
		});
		return DONE;
	} catch (error) {
		throw error instanceof QueueError && error.cause instanceof Error ? error.cause : error; // with the paths in it
	} finally {
		for (const name of SIGNALS) process.removeListener(name, onSignal);
		await mail.close();
	}
}

function optionsOf(args: Arguments): Partial<RelayOptions> {
	const [hostname, postmaster] = [args.one("hostname"), args.one("postmaster")];
	const lifetime = wholeNumber(args, "lifetime", 1, 100_000_000);
	const concurrency = wholeNumber(args, "concurrency", 1, 10_000);
	const perDestination = wholeNumber(args, "per-destination", 1, 10_000);
	return {
		...(hostname === undefined ? {} : { hostname }),
		...(postmaster === undefined ? {} : { postmaster }),
		...(lifetime === undefined ? {} : { retry: { lifetime: lifetime * 1000 } }),
		limits: {
			...(concurrency === undefined ? {} : { concurrency }),
			...(perDestination === undefined ? {} : { perDestination }),
		},
	};
}

function makeRelay(options: RelayOptions): Relay {
	try {
		return new Relay(options);
	} catch (error) {
		throw new WrongUse((error as Error).message);
	}
}

/** A line for what becomes of each recipient. What was not tried is not told: the line of its destination says why. */
function follow(relay: Relay, log: (line: string) => void): void {
	const each = (report: RelayReport, tell: (recipient: RelayedRecipient) => string) => {
		for (const recipient of report.recipients) log(tell(recipient));
	};
	relay.on("delivered", (report) => each(report, (one) => `delivered ${about(report, one)} ${said(one)}`));
	relay.on("deferred", (report) => {
		const next = new Date(report.nextAttempt).toISOString();
		each({ ...report, recipients: report.recipients.filter(({ attempted }) => attempted) }, (one) => {
			return `deferred ${about(report, one)} next=${next} ${said(one)}`;
		});
	});
	relay.on("bounced", (report) => {
		each(
			report,
			(one) => `bounced ${about(report, one)} bounce-to=<${printablePart(report.to)}> ${said(one)}`,
		);
	});
	relay.on("dropped", (report) => {
		each(report, (one) => `dropped ${about(report, one)} ${said(one)} (${printable(report.reason)})`);
	});
	relay.on("rest", ({ destination, until, description }) => {
		const text = printable(description);
		log(`rest destination=${printablePart(destination)} until=${new Date(until).toISOString()} ${text}`);
	});
	relay.on("back", (destination) => log(`back destination=${printablePart(destination)}`));
	relay.on("fault", (error, { id = "-" }) => {
		const { cause } = error;
		const why = cause instanceof Error ? `: ${cause.message}` : "";
		log(`fault id=${id} ${printable(error.message + why)}`);
	});
}

function about({ id, sender }: RelayReport, { recipient }: RelayedRecipient): string {
	return `id=${id} from=<${printablePart(sender)}> to=<${printablePart(recipient)}>`;
}

function said({ description, host, tooOld }: RelayedRecipient): string {
	const where = host === undefined ? "" : `host=${printablePart(host)} `;
	return `${where}${printable(description)}${tooOld === true ? " (too old)" : ""}`;
}

const PATIENCE_MS = 30_000;

/** Sources by the names that they have on the command line, each with the queue that bounces go into. */
import { QueueError } from "../errors.js";
import type { Queue } from "../queue/queue.js";
import type { Source } from "../queue/source.js";
import { BROKER_SYNTAX, brokerUrl, withoutSecrets } from "./broker-url.js";
import { WrongUse } from "./command.js";
import { printable, printablePart } from "./printable.js";

/** What `--source` may say. */
export const SOURCE_SYNTAX: string = `spool:DIR | maildir:DIR | ${BROKER_SYNTAX}`;

/** A source that was asked for by name. */
export interface NamedSource {
	/** What was asked for, as it was written, without a password. */
	readonly name: string;
	readonly source: Source;
	/** Where bounces go, so that the same relay delivers them. */
	readonly bounces: Queue;
	/** Makes it ready to be taken from. @throws An error that says why it cannot be used. */
	prepare(): Promise<void>;
	/** Lets go of both. It is called when no mail is out. */
	close(): Promise<void>;
}

/**
 * The source that `name` names.
 *
 * @param log - Takes a line about mail that cannot be handed out, or about the source itself, without its end.
 * @throws WrongUse.
 */
export async function namedSource(name: string, log: (line: string) => void): Promise<NamedSource> {
	const colon = name.indexOf(":");
	const kind = name.slice(0, Math.max(colon, 0));
	const make = Object.hasOwn(SOURCES, kind) ? SOURCES[kind] : undefined;
	if (make === undefined)
		throw new WrongUse(`--source must be ${SOURCE_SYNTAX}, not '${withoutSecrets(name)}'`);
	return { name, ...(await make(name.slice(colon + 1), log)) };
}

type MakeSource = (rest: string, log: (line: string) => void) => Promise<MadeSource>;
type MadeSource = Omit<NamedSource, "name"> & Partial<NamedSource>;

// Each is loaded when it is asked for: some need packages that not everybody has.
const SOURCES: Readonly<Record<string, MakeSource>> = {
	spool: async (path) => {
		somethingMore("spool:DIR", path);
		const { spoolQueue } = await import("../queue/spool.js");
		const spool = spoolQueue({ path });
		return { source: spool, bounces: spool, prepare: () => spool.prepare(), close: () => spool.close() };
	},
	maildir: async (path, log) => {
		somethingMore("maildir:DIR", path);
		const { maildirQueue, maildirSource } = await import("../queue/maildir.js");
		const onSkipped = (file: string, reason: string) => {
			log(`skipped file=${printablePart(file)} ${printable(reason)}`);
		};
		const source = maildirSource({ path, onSkipped });
		const bounces = maildirQueue({ path });
		const close = async () => {
			await bounces.close();
			await source.close();
		};
		return { source, bounces, prepare: () => source.prepare(), close };
	},
	amqp: (rest, log) => broker(`amqp:${rest}`, log),
	amqps: (rest, log) => broker(`amqps:${rest}`, log),
};

async function broker(url: string, log: (line: string) => void): Promise<MadeSource> {
	const { name, options } = await brokerUrl(url, "source");
	const { rabbitmqQueue } = await import("../queue/rabbitmq.js");
	const onFault = (error: Error) => log(`fault id=- ${printable(error.message)}`);
	const queue = rabbitmqQueue({ ...options, onFault });
	const prepare = async () => {
		try {
			await queue.prepare();
		} catch (error) {
			// A queue's refusals are for clients, and only their causes say where. It has no cause itself: that would be told.
			const told = error instanceof QueueError ? (error.cause ?? error) : error;
			throw new Error(`cannot use ${name}: ${(told as Error).message}`);
		}
	};
	return { name, source: queue, bounces: queue, prepare, close: () => queue.close() };
}

function somethingMore(name: string, rest: string): void {
	if (rest === "") throw new WrongUse(`--source ${name} needs a path`);
}

/**
 * The subpath `qmtp/queue/qmail-queue`: a queue that hands each message to a program that speaks the interface of
 * qmail-queue, as qmail-qmtpd does.
 *
 * Sources: qmail-queue(8); qmail.c and qmail-qmtpd.c of notqmail 1.09.
 */
import type { ChildProcess } from "node:child_process";
import { resolve } from "node:path";
import { QueueError, UsageError } from "../errors.js";
import type { MessageInfo } from "../protocol/message-info.js";
import { onlyOptions, textOption, wholeNumberOption } from "../protocol/options.js";
import { Pool } from "./pool.js";
import { Child } from "./qmail-queue/child.js";
import { QmailQueueDelivery } from "./qmail-queue/delivery.js";
import { type Environment, environmentFor } from "./qmail-queue/environment.js";
import { type Command, checkProgram, failureOf, startError, startProgram } from "./qmail-queue/program.js";
import type { Delivery, Queue } from "./queue.js";

/** Options of {@link qmailQueue}. */
export interface QmailQueueOptions {
	/**
	 * The program, or the program and its arguments; there is no shell. A relative path is relative to `home`, and a name
	 * without a slash is looked for in PATH.
	 * @defaultValue QMAILQUEUE of the environment if it is there and not empty, else `bin/qmail-queue`
	 */
	readonly command?: string | readonly string[];
	/**
	 * The directory in which the program runs.
	 * @defaultValue `/var/qmail`
	 */
	readonly home?: string;
	/**
	 * How long the program may keep us waiting, in milliseconds: to read the next 64 KiB of the message, to read the
	 * envelope, and to end then. After that it is killed, and the message gets Z `qq timeout (#4.3.0)`.
	 * @defaultValue 600000 (10 minutes)
	 */
	readonly timeout?: number;
	/**
	 * The most programs at once. A message beyond them waits in `open` for its turn.
	 * @defaultValue 100
	 */
	readonly concurrency?: number;
	/**
	 * Variables for the program of this message, over all others; undefined takes one away. What it throws is a Z.
	 * @defaultValue none
	 */
	readonly environment?: (message: MessageInfo) => Readonly<Record<string, string | undefined>>;
}

/** A queue that hands each message to a qmail-queue. */
export interface QmailQueue extends Queue {
	/** Where its programs run, as an absolute path. */
	readonly home: string;
	/** Makes sure that `home` is a directory and the program is there and executable. It starts nothing. */
	prepare(): Promise<void>;
	/** Takes no more messages, and waits for the programs that run. */
	close(): Promise<void>;
}

/**
 * A queue that starts a qmail-queue for each message, before its first byte.
 *
 * The program has the message on descriptor 0, while it arrives; then the envelope on 1, which begins when 0 has ended;
 * the descriptor 2 of this process; and on 6 it may write an error text for exit code 82. It runs in a session of its
 * own. These descriptors are sockets: `cat <&1` reads one, and opening /dev/stdin or /dev/fd/1 fails. What it writes to
 * descriptor 1 is dropped.
 *
 * Its environment is that of this process, with PROTO=TCP, TCPREMOTEIP, TCPREMOTEPORT, TCPREMOTEHOST, TCPREMOTEINFO,
 * TCPLOCALIP and TCPLOCALPORT as far as they are known, or untouched if the client has no address; RELAYCLIENT if the
 * client may relay; and the variables of its access rights, of which QMAILQUEUE names another program for this message.
 *
 * Responses: K `ok <seconds since 1970> qp <process number>` for exit code 0, if the program has read everything, else
 * what qmail-qmtpd says for its exit code. Of a small message that was not read only the envelope shows it, and that
 * only on Linux. D (#5.1.3) for a recipient and D (#5.1.7) for all if the sender holds a NUL. `open` rejects with a
 * `QueueError` if the program could not be started, and `commit` if it crashed or took too long; `cause` says how.
 *
 * An abort ends the message and gives an empty envelope, at which qmail-queue removes its files; what has not ended
 * after a second is killed, with all that it has started in its process group.
 *
 * @throws UsageError `ERR_QMTP_OPTION` for an option that does not exist or has no meaning.
 */
export function qmailQueue(options: QmailQueueOptions = {}): QmailQueue {
	return new ProgramQueue(options);
}

class ProgramQueue implements QmailQueue {
	readonly home: string;
	readonly #command: Command;
	readonly #timeout: number;
	readonly #environment: QmailQueueOptions["environment"];
	readonly #places: Pool<null>;
	readonly #children = new Set<Child>();
	#closed = false;

	constructor(options: QmailQueueOptions) {
		onlyOptions(options, ["command", "home", "timeout", "concurrency", "environment"]);
		const { QMAILQUEUE } = process.env;
		const { command = QMAILQUEUE || DEFAULT_COMMAND, home = DEFAULT_HOME } = options;
		this.home = resolve(textOption("home", home));
		this.#command = commandOf(command);
		this.#timeout = wholeNumberOption("timeout", options.timeout ?? DEFAULT_TIMEOUT, 1, LONGEST_TIMEOUT);
		const concurrency = options.concurrency ?? DEFAULT_CONCURRENCY;
		this.#places = new Pool(wholeNumberOption("concurrency", concurrency, 1), () => null);
		this.#environment = options.environment;
		if (this.#environment !== undefined && typeof this.#environment !== "function") {
			throw new UsageError("ERR_QMTP_OPTION", "environment must be a function");
		}
	}

	async prepare(): Promise<void> {
		await checkProgram(this.#command, this.home);
	}

	open(message: MessageInfo): Delivery | Promise<Delivery> {
		const turn = this.#places.take();
		return turn === null ? this.#begin(message) : turn.then(() => this.#begin(message));
	}

	async close(): Promise<void> {
		this.#closed = true;
		await Promise.all(Array.from(this.#children, (child) => child.ended));
	}

	/** Starts the program of a message that has its place. */
	#begin(message: MessageInfo): Delivery | Promise<Delivery> {
		let program: ChildProcess;
		try {
			program = this.#start(message);
		} catch (error) {
			return this.#refuse(error);
		}
		if (program.pid === undefined) return this.#refuse(failureOf(program));
		const child = new Child(program, this.#timeout);
		this.#children.add(child);
		child.ended.then(() => {
			this.#children.delete(child);
			this.#places.give(null);
		});
		return new QmailQueueDelivery(child, message);
	}

	#start(message: MessageInfo): ChildProcess {
		if (this.#closed) throw new QueueError("ERR_QMTP_QUEUE", "mail system is closing (#4.3.2)");
		const environment = environmentFor(message, this.#environment?.(message));
		const { QMAILQUEUE } = message.access.environment ?? NO_VARIABLES;
		return startProgram(QMAILQUEUE ? [QMAILQUEUE] : this.#command, this.home, environment);
	}

	async #refuse(failure: unknown): Promise<never> {
		try {
			throw await startError(await failure, this.home);
		} finally {
			this.#places.give(null);
		}
	}
}

function commandOf(command: string | readonly string[]): Command {
	const [program, ...args] = Array.isArray(command) ? command : [command];
	if (args.some((argument) => typeof argument !== "string" || argument.includes("\0"))) {
		throw new UsageError("ERR_QMTP_OPTION", "an argument of command must be a text without NULs");
	}
	return [textOption("command", program), ...args];
}

const DEFAULT_HOME = "/var/qmail";
const DEFAULT_COMMAND = "bin/qmail-queue";
const DEFAULT_TIMEOUT = 600_000;
const LONGEST_TIMEOUT = 2 ** 31 - 1; // of Node's timers
const DEFAULT_CONCURRENCY = 100;
const NO_VARIABLES: Environment = {};

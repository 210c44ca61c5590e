/**
 * The responses of one session on their way out: those that a queue still works on, those that wait for earlier ones,
 * and the moment when they are written.
 *
 * They are flushed when the session is about to wait for input, and by a setImmediate that is armed when it waits for
 * anything else or when a commit settles; so all that one turn of the event loop brings goes out in one write.
 */
import { encodeResponses, type QmtpResponse } from "../protocol/response.js";
import type { ServerConnection } from "../protocol/server-connection.js";
import type { Timers } from "../timers.js";
import type { ConnectionBytes } from "./held-bytes.js";
import type { ServerSettings } from "./options.js";
import type { Transaction } from "./transaction.js";
import type { Transport } from "./transport.js";

/** What the answers of a session need. */
export interface AnswersContext {
	readonly transport: Transport;
	readonly settings: ServerSettings;
	readonly timers: Timers;
	readonly bytes: ConnectionBytes;
}

/** Gives each package its responses, in order. */
export class Answers {
	/** When the last answer was written, on the clock of the timers. */
	lastWrite = 0;
	/** Packages answered. */
	packages = 0;

	readonly #connection: ServerConnection;
	readonly #transport: Transport;
	readonly #settings: ServerSettings;
	readonly #timers: Timers;
	readonly #bytes: ConnectionBytes;
	#writable = true; // false after a write that the client did not keep up with, until it has
	#unsent: readonly QmtpResponse[] = NOTHING; // taken, and written from #next on
	#next = 0;
	#forgotten = false;
	#drained: (() => void) | null = null;
	#expected: Transaction[] = []; // in the order of their deadlines; those before #oldest are answered
	#oldest = 0;
	#owed = 0; // responses that packages read to their end are still to get
	#armed = false;
	#room: { readonly packages: number; readonly resolve: () => void } | null = null;

	constructor(connection: ServerConnection, { transport, settings, timers, bytes }: AnswersContext) {
		this.#connection = connection;
		this.#transport = transport;
		this.#settings = settings;
		this.#timers = timers;
		this.#bytes = bytes;
	}

	/** False while the client does not keep up with what it is told. */
	get writable(): boolean {
		return this.#writable;
	}

	/** Resolves when the client keeps up. For one caller at a time. */
	drained(): Promise<void> {
		if (this.#writable) return Promise.resolve();
		return new Promise((resolve) => {
			this.#drained = resolve;
		});
	}

	/** The session has ended: nobody gets what is left, nor what comes yet. */
	forget(): void {
		this.#forgotten = true;
		for (const transaction of this.#expected.slice(this.#oldest))
			if (transaction.answered) transaction.sent();
		this.#bytes.add(-this.#unsent.length * UNSENT_OVERHEAD);
		this.#unsent = NOTHING;
	}

	/** A package was read to its end: its responses will come. */
	expect(transaction: Transaction): void {
		this.#owed += transaction.recipients.length;
		transaction.deadline = this.#timers.now + this.#settings.timeouts.commit;
		this.#expected.push(transaction);
	}

	/** Gives the responses to a package, one for each of its recipients. */
	give(transaction: Transaction, responses: readonly QmtpResponse[]): void {
		this.packages++;
		if (this.#forgotten) {
			transaction.sent();
			return;
		}
		this.#connection.respond(transaction.number, responses);
		this.arm();
	}

	/** Answers for the queue where it is too slow. */
	check(now: number): void {
		for (const transaction of this.#expected.slice(this.#oldest)) {
			if (transaction.deadline > now) break; // all have the same time, so the oldest comes first
			if (!transaction.answered) transaction.timeOut();
		}
	}

	/**
	 * Room for one more package: fewer than `packages` are held back, and not too many responses. Nothing if there is,
	 * else a promise of it.
	 */
	roomFor(packages: number): Promise<void> | undefined {
		if (this.#hasRoom(packages)) return undefined;
		this.flush();
		if (this.#hasRoom(packages)) return undefined;
		return new Promise((resolve) => {
			this.#room = { packages, resolve };
		});
	}

	/** Flushes when this turn of the event loop is over. */
	arm(): void {
		if (this.#armed) return;
		this.#armed = true;
		setImmediate(() => {
			this.#armed = false;
			this.flush();
		});
	}

	/** Writes what may be sent now. What the client does not keep up with follows when it does. */
	flush(): void {
		if (this.#forgotten) return;
		if (this.#writable) {
			this.#take();
			this.#send();
		}
		const room = this.#room;
		if (room === null || !this.#hasRoom(room.packages)) return;
		this.#room = null;
		room.resolve();
	}

	#take(): void {
		if (this.#expected[this.#oldest]?.answered !== true) return; // as for nearly each chunk of a large message
		const responses = this.#connection.transmit();
		for (;;) {
			const transaction = this.#expected[this.#oldest];
			if (transaction?.answered !== true) break;
			transaction.sent();
			this.#oldest++;
		}
		if (this.#oldest * 2 >= this.#expected.length) {
			this.#expected = this.#expected.slice(this.#oldest);
			this.#oldest = 0;
		}
		if (responses.length === 0) return;
		this.#owed -= responses.length;
		this.#unsent = responses;
		this.#next = 0;
		this.#bytes.add(responses.length * UNSENT_OVERHEAD);
	}

	/** A few at a time, since one package may have 350,000: as text they would be 20 MB. */
	#send(): void {
		const { length } = this.#unsent;
		while (this.#next < length && this.#writable) {
			const next = this.#next === 0 && length <= MOST_AT_ONCE ? this.#unsent : this.#slice();
			this.#next += next.length;
			this.lastWrite = this.#timers.now;
			this.#writable = this.#transport.write(encodeResponses(next));
		}
		if (!this.#writable) this.#transport.drained().then(() => this.#goOn());
		else if (length > 0) this.#sent();
	}

	#slice(): readonly QmtpResponse[] {
		return this.#unsent.slice(this.#next, this.#next + MOST_AT_ONCE);
	}

	#sent(): void {
		this.#bytes.add(-this.#unsent.length * UNSENT_OVERHEAD);
		this.#unsent = NOTHING;
	}

	#goOn(): void {
		if (this.#forgotten) return;
		this.#writable = true;
		this.#send();
		if (!this.#writable) return;
		this.flush();
		if (!this.#writable) return;
		this.#drained?.();
		this.#drained = null;
	}

	#hasRoom(packages: number): boolean {
		const { pending } = this.#connection;
		// One package alone may have any number of recipients; its responses are bounded by the limits of a package.
		return pending < packages && (pending === 0 || this.#owed <= this.#settings.limits.recipients);
	}
}

const NOTHING: readonly QmtpResponse[] = [];
const MOST_AT_ONCE = 1000;
const UNSENT_OVERHEAD = 16; // of a response that many share: its place in two arrays

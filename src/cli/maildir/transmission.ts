/**
 * Sends mail over one connection without waiting for answers, oldest first, until all has its answer or the connection
 * fails. A fault of one file concerns that file; the first fault of the connection ends the transmission.
 */
import type { SendResult } from "../../client/result.js";
import { QmtpError, UsageError } from "../../errors.js";
import type { Mail } from "../../queue/maildir/mail.js";
import type { Progress } from "../progress.js";
import type { Link, Remote } from "./link.js";
import type { Candidate, Mailbox } from "./mailbox.js";
import type { Outcomes } from "./outcomes.js";
import { type Report, reasonOf } from "./report.js";

/** Who takes part. */
export interface TransmissionOptions {
	readonly mailbox: Mailbox;
	readonly link: Link;
	readonly outcomes: Outcomes;
	readonly report: Report;
	readonly progress: Progress;
	/** The most messages that are sent and not answered. */
	readonly window: number;
	/** Aborted: nothing more is sent, but what was sent gets its answer. */
	readonly signal: AbortSignal;
}

/** One go at the mail. */
export class Transmission {
	/** Mails that the server answered. */
	answered = 0;
	/** There was mail to be sent. */
	begun = false;
	/** What ended it too early. */
	fault: QmtpError | null = null;

	readonly #options: TransmissionOptions;
	#remote: Remote | null = null;
	#unfinished = 0; // mails
	#bytes = 0; // of them that are in memory
	#sent = 0; // bytes of messages
	readonly #unsent = new Set<AbortController>();
	#failure: { readonly error: unknown } | null = null; // of our own
	#wake: (() => void) | null = null;

	constructor(options: TransmissionOptions) {
		this.#options = options;
	}

	/** Sends these. It resolves when nothing is under way any more. */
	async run(candidates: readonly Candidate[]): Promise<void> {
		const { signal } = this.#options;
		const stop = () => this.#withdraw();
		signal.addEventListener("abort", stop);
		try {
			await this.#sendAll(candidates);
			await this.#until(() => this.#unfinished === 0);
		} finally {
			signal.removeEventListener("abort", stop);
		}
		if (this.#failure !== null) throw this.#failure.error;
	}

	async #sendAll(candidates: readonly Candidate[]): Promise<void> {
		const { window, link } = this.#options;
		for await (const { candidate, mail } of this.#opened(candidates)) {
			await this.#until(() => this.#unfinished < window && this.#bytes < MOST_BYTES);
			if (this.#stopped) return;
			this.begun = true;
			try {
				this.#remote ??= await link.open();
			} catch (error) {
				this.#end(error);
				return;
			}
			if (this.#stopped) return;
			this.#send(candidate, mail, this.#remote);
			// A stream is prepared a moment later than bytes, and is not to be overtaken.
			if (mail.bytes === null) await new Promise((resolve) => setImmediate(resolve));
		}
	}

	get #stopped(): boolean {
		return this.fault !== null || this.#failure !== null || this.#options.signal.aborted;
	}

	/** Opens the files in order, some ahead of their turn. */
	async *#opened(candidates: readonly Candidate[]): AsyncGenerator<Sendable> {
		const ahead: Promise<Opened>[] = [];
		for (const candidate of candidates) {
			ahead.push(this.#open(candidate).then((mail) => ({ candidate, mail })));
			if (ahead.length > AHEAD) yield* sendable(await (ahead.shift() as Promise<Opened>));
		}
		for (const opened of ahead) yield* sendable(await opened);
	}

	/** Null for what cannot be sent. */
	async #open({ name }: Candidate): Promise<Mail | null> {
		const { mailbox, outcomes, report } = this.#options;
		try {
			const mail = await mailbox.open(name);
			if (typeof mail !== "string") return mail;
			if (mail === "other") {
				outcomes.pass(name);
			} else {
				report.warning(`unable to send ${name}: bad file format`);
				outcomes.keep(name);
			}
		} catch (error) {
			report.warning(`unable to open ${name}: ${reasonOf(error)}`);
			if ((error as NodeJS.ErrnoException).code === "ENOENT") outcomes.pass(name);
			else outcomes.keep(name);
		}
		return null;
	}

	/** Begins to send a mail. It does not wait, and keeps count of what is under way. */
	#send(candidate: Candidate, mail: Mail, remote: Remote): void {
		const bytes = mail.bytes?.length ?? 0;
		this.#unfinished++;
		this.#bytes += bytes;
		const done = () => {
			this.#unfinished--;
			this.#bytes -= bytes;
			this.#wake?.();
		};
		this.#sendOne(candidate, mail, remote)
			.catch((error: unknown) => {
				this.#failure ??= { error };
				remote.client.destroy();
			})
			.then(done);
	}

	async #sendOne(candidate: Candidate, mail: Mail, remote: Remote): Promise<void> {
		const { outcomes, report } = this.#options;
		let result: SendResult;
		try {
			result = await this.#result(mail, remote);
		} catch (error) {
			if (error === WITHDRAWN || this.fault !== null) return;
			if (!(error instanceof UsageError)) return this.#end(error);
			report.warning(`unable to send ${candidate.name}: ${error.message}`);
			outcomes.keep(candidate.name);
			return;
		}
		const [response] = result.responses;
		if (response === undefined) throw new Error("a result without a response");
		if (response.error !== undefined) return this.#end(response.error);
		this.answered++;
		const wait = outcomes.settle(candidate, mail, response, remote.address);
		if (wait !== undefined) await wait;
	}

	#result(mail: Mail, { client }: Remote): Promise<SendResult> {
		const { progress } = this.#options;
		const controller = new AbortController();
		this.#unsent.add(controller);
		let before = 0;
		const onProgress = (bytes: number, total: number) => {
			if (bytes === total) this.#unsent.delete(controller);
			this.#sent += bytes - before;
			before = bytes;
			progress.update(this.#sent);
		};
		const message = mail.bytes ?? mail.chunks();
		const { sender, recipient, size } = mail;
		return client
			.send(
				{ sender, recipients: [recipient], message, size, encoding: "lf", onProgress },
				{ signal: controller.signal },
			)
			.finally(() => this.#unsent.delete(controller));
	}

	/** The connection is of no use any more. What has no answer now gets none. */
	#end(error: unknown): void {
		if (this.fault !== null) return;
		if (!(error instanceof QmtpError)) throw error;
		this.fault = error;
		this.#remote?.client.destroy();
	}

	/** Takes back what was not sent to its end. */
	#withdraw(): void {
		for (const controller of this.#unsent) controller.abort(WITHDRAWN);
		this.#wake?.();
	}

	async #until(condition: () => boolean): Promise<void> {
		while (!condition()) {
			await new Promise<void>((resolve) => {
				this.#wake = resolve;
			});
		}
	}
}

function sendable({ candidate, mail }: Opened): Sendable[] {
	return mail === null ? [] : [{ candidate, mail }];
}

interface Opened {
	readonly candidate: Candidate;
	/** Null for what cannot be sent. */
	readonly mail: Mail | null;
}

interface Sendable extends Opened {
	readonly mail: Mail;
}

const WITHDRAWN = new Error("withdrawn");
const AHEAD = 16; // files, each small enough for memory or not read yet
const MOST_BYTES = 32 * 1024 * 1024;

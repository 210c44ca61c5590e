/** One call of `send` under way. It settles once, and can be stopped. */
import type { Body } from "../body/body.js";
import type { QmtpError } from "../errors.js";
import type { SmtpResult } from "./result.js";
import type { SmtpTransaction } from "./transaction.js";

/** A message, and who waits for what becomes of it. */
export class SmtpCall {
	readonly transaction: SmtpTransaction;
	readonly body: Body;
	/** Settles when each recipient has its result; rejects if the caller gets none. */
	readonly result: Promise<readonly SmtpResult[]>;
	/** True when `result` has settled: nothing more of it is to be sent. */
	settled = false;
	readonly #stop = new AbortController();
	#resolve!: (results: readonly SmtpResult[]) => void;
	#reject!: (reason: unknown) => void;

	constructor(transaction: SmtpTransaction, body: Body) {
		this.transaction = transaction;
		this.body = body;
		this.result = new Promise((resolve, reject) => {
			this.#resolve = resolve;
			this.#reject = reject;
		});
	}

	/** Aborted when it is stopped. */
	get stopped(): AbortSignal {
		return this.#stop.signal;
	}

	/** What carries it out is to end at once, with this reason. It has to be settled besides. */
	stop(reason: QmtpError): void {
		this.#stop.abort(reason);
	}

	/** Each recipient has its answer. */
	resolve(): void {
		this.settled = true;
		this.#resolve(this.transaction.results);
	}

	/** The caller gets this instead of results. */
	reject(reason: unknown): void {
		this.settled = true;
		this.#reject(reason);
	}

	/** Nothing of it was sent: a Z for all that have no answer. */
	defer(error: QmtpError): void {
		if (this.settled) return;
		this.transaction.defer(error, false);
		this.resolve();
	}
}

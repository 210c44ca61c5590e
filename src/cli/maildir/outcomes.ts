/**
 * What is done with a mail when the server has answered: it is removed, sent back, or kept. A mail is removed in the
 * same turn in which its K is read, so that little is sent twice if this process ends here.
 */
import type { QmtpResponse } from "../../protocol/response.js";
import type { Mail } from "../../queue/maildir/mail.js";
import type { Bouncer } from "./bouncer.js";
import type { Candidate, Mailbox } from "./mailbox.js";
import { type Report, reasonOf, serverSaid } from "./report.js";

/** How outcomes are dealt with. */
export interface OutcomeOptions {
	/** Null: mail that cannot be delivered is kept. */
	readonly bouncer: Bouncer | null;
	/** In seconds. Older mail is given up if the server does not take it. */
	readonly lifetime: number;
}

/** Deals with what servers say of mail. */
export class Outcomes {
	readonly #mailbox: Mailbox;
	readonly #report: Report;
	readonly #options: OutcomeOptions;
	readonly #kept = new Set<string>();

	constructor(mailbox: Mailbox, report: Report, options: OutcomeOptions) {
		this.#mailbox = mailbox;
		this.#report = report;
		this.#options = options;
	}

	/** True for a mail that has had its turn in this run. */
	isKept(name: string): boolean {
		return this.#kept.has(name);
	}

	/** It stays for the next run, which is what the exit code says. */
	keep(name: string): void {
		this.#kept.add(name);
		this.#report.trouble = true;
	}

	/** It is none of ours, and not to be looked at again in this run. */
	pass(name: string): void {
		this.#kept.add(name);
	}

	/** Does what the server's response asks for. @returns A promise if it takes longer: the mail is sent back. */
	settle(
		candidate: Candidate,
		mail: Mail,
		{ status, description }: QmtpResponse,
		address: string,
	): void | Promise<void> {
		const { name } = candidate;
		const said = serverSaid(address, description);
		if (status === "K") {
			this.#report.info(`${name} succeeded: ${said}`);
			this.#remove(name, "message will be delivered twice!");
			return;
		}
		const tooOld = status === "Z" && this.#isTooOld(candidate);
		const { bouncer } = this.#options;
		if (bouncer !== null && (status === "D" || tooOld)) {
			this.#report.info(`${name} bounced: ${said}`);
			return this.#bounce(bouncer, candidate, mail, said, tooOld);
		}
		this.#report.info(`${name} ${status === "D" || tooOld ? "failed" : "failed temporarily"}: ${said}`);
		this.keep(name);
	}

	async #bounce(
		bouncer: Bouncer,
		{ name }: Candidate,
		mail: Mail,
		said: string,
		tooOld: boolean,
	): Promise<void> {
		try {
			const bounced = await bouncer.bounce(mail, said, tooOld);
			if (bounced.type === "discarded") this.#report.info(`discarding ${name}: triple bounce`);
			else this.#report.info(`returned ${name}: qp ${bounced.id}`);
		} catch (error) {
			this.#report.warning(`unable to bounce ${name}: ${reasonOf(error)}`);
			this.keep(name);
			return;
		}
		this.#remove(name, "message has been bounced but not removed!");
	}

	#remove(name: string, consequence: string): void {
		try {
			this.#mailbox.remove(name);
		} catch (error) {
			this.#report.warning(`${consequence} unable to unlink ${name}: ${reasonOf(error)}`);
			this.keep(name);
		}
	}

	#isTooOld({ mtimeMs }: Candidate): boolean {
		return Math.floor(Date.now() / 1000) > Math.floor(mtimeMs / 1000) + this.#options.lifetime;
	}
}

/**
 * One message's envelope as SMTP says it, and what became of each recipient. What SMTP cannot say is refused here, before
 * anything is sent. Recipients that are the same on the wire are said once, and share their answer.
 */
import { type QmtpError, UsageError } from "../errors.js";
import { type AddressEncoding, checkAddress } from "../protocol/envelope.js";
import { BAD_RECIPIENT, BAD_SENDER } from "../protocol/refusals.js";
import { deferred, type QmtpResponse, rejected } from "../protocol/response.js";
import { type SmtpAddress, smtpAddress } from "./address.js";
import { recipientRefusal } from "./reply.js";
import type { SmtpResult } from "./result.js";

/** Addresses for MAIL and RCPT, without `<` and `>`. */
export interface WireEnvelope {
	/** Empty for mail that must not be answered. */
	readonly from: string;
	/** At least one, each once. */
	readonly to: readonly string[];
}

/** A message's envelope and its answers. The first answer that a recipient gets is the one that counts. */
export class SmtpTransaction {
	readonly #recipients: readonly string[];
	readonly #sender: SmtpAddress;
	readonly #addresses: readonly (SmtpAddress | null)[];
	readonly #results: (SmtpResult | undefined)[];
	#byAddress = new Map<string, number[]>(); // of the last envelope

	/**
	 * @throws UsageError `ERR_QMTP_RECIPIENTS` without a recipient, `ERR_QMTP_ADDRESS` for what is no string or cannot be
	 * encoded.
	 */
	constructor(sender: string, recipients: readonly string[], encoding: AddressEncoding) {
		if (!Array.isArray(recipients) || recipients.length === 0) {
			throw new UsageError("ERR_QMTP_RECIPIENTS", "recipients must be an array of at least one address");
		}
		this.#recipients = [...recipients]; // the caller may change its array meanwhile
		for (const address of [sender, ...this.#recipients]) {
			if (typeof address !== "string") {
				throw new UsageError("ERR_QMTP_ADDRESS", "the sender and each recipient must be strings");
			}
			checkAddress(address, encoding);
		}
		this.#results = new Array(recipients.length).fill(undefined);
		this.#addresses = this.#recipients.map((recipient) => smtpAddress(recipient, encoding));
		this.#addresses.forEach((address, index) => {
			if (address === null) this.#settle(index, BAD_RECIPIENT);
		});
		const from = sender === "" ? NULL_SENDER : smtpAddress(sender, encoding);
		if (from === null) this.answerAll(BAD_SENDER);
		this.#sender = from ?? NULL_SENDER;
	}

	/** True when each recipient has its answer. */
	get settled(): boolean {
		return !this.#results.includes(undefined);
	}

	/** One for each recipient, in their order, once it is settled. */
	get results(): readonly SmtpResult[] {
		return this.#results as SmtpResult[];
	}

	/**
	 * What to say to a server. Who can be reached only with SMTPUTF8 is refused if the server has it not.
	 *
	 * @returns Null if nobody is left.
	 */
	envelope(smtpUtf8: boolean): WireEnvelope | null {
		const from = smtpUtf8 ? this.#sender.utf8 : this.#sender.ascii;
		if (from === null) this.answerAll(NOT_ASCII);
		this.#byAddress = new Map();
		this.#addresses.forEach((address, index) => {
			if (address === null || this.#results[index] !== undefined) return;
			const to = smtpUtf8 ? address.utf8 : address.ascii;
			if (to === null) {
				this.#settle(index, NOT_ASCII);
				return;
			}
			const same = this.#byAddress.get(to);
			if (same === undefined) this.#byAddress.set(to, [index]);
			else same.push(index);
		});
		return from === null || this.#byAddress.size === 0 ? null : { from, to: [...this.#byAddress.keys()] };
	}

	/** The server answered RCPT for this address of the last envelope with a reply that is no 2xx. */
	refused(address: string, reply: string): void {
		const response = recipientRefusal(reply, this.#byAddress.size > 1);
		for (const index of this.#byAddress.get(address) ?? []) this.#settle(index, response);
	}

	/** The answer for these addresses of the last envelope. */
	answer(addresses: readonly string[], response: QmtpResponse): void {
		for (const address of addresses) {
			for (const index of this.#byAddress.get(address) ?? []) this.#settle(index, response);
		}
	}

	/** The answer for all that have none yet. */
	answerAll(response: Omit<SmtpResult, "recipient">): void {
		this.#recipients.forEach((_, index) => {
			this.#settle(index, response);
		});
	}

	/** A Z, with the reason, for all that have no answer yet. */
	defer(error: QmtpError, possiblyAccepted: boolean): void {
		this.answerAll({ ...deferred(describe(error)), error, possiblyAccepted });
	}

	#settle(index: number, response: Omit<SmtpResult, "recipient">): void {
		this.#results[index] ??= { recipient: this.#recipients[index] as string, ...response };
	}
}

function describe(error: QmtpError): string {
	switch (error.code) {
		case "ERR_QMTP_RESPONSE_TIMEOUT":
			return "the server did not answer in time (#4.4.2)";
		case "ERR_QMTP_CONNECT":
		case "ERR_QMTP_CONNECT_TIMEOUT":
			return `${error.message.slice(0, 450)} (#4.4.1)`;
		default:
			return `${error.message.slice(0, 450)} (#4.4.2)`;
	}
}

const NULL_SENDER: SmtpAddress = { utf8: "", ascii: "" };
const NOT_ASCII = rejected("the server does not take addresses beyond ASCII (#5.6.7)");

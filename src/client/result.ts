/** What a client tells of the mail that it sent. */
import type { QmtpError } from "../errors.js";
import type { QmtpResponse } from "../protocol/response.js";

/** What became of one recipient. */
export interface RecipientResult extends QmtpResponse {
	/** As the caller gave it. */
	readonly recipient: string;
	/** Why there is no response of the server's: `status` is then Z. */
	readonly error?: QmtpError;
	/** With `error`: true if the server may have accepted it, so that sending it again may make a duplicate. */
	readonly possiblyAccepted?: boolean;
}

/** What became of one call of `send`. */
export interface SendResult {
	/** One for each recipient, in the caller's order. */
	readonly responses: readonly RecipientResult[];
	/** The addresses with a K. */
	readonly accepted: readonly string[];
	/** The addresses with a Z: try again later. */
	readonly deferred: readonly string[];
	/** The addresses with a D: never try again. */
	readonly rejected: readonly string[];
}

/** What became of a message, from what became of its recipients. */
export function sendResult(responses: readonly RecipientResult[]): SendResult {
	if (responses.length > 1) return { responses, ...byStatus(responses) };
	const { status, recipient } = responses[0] as RecipientResult;
	return {
		responses,
		accepted: status === "K" ? [recipient] : [],
		deferred: status === "Z" ? [recipient] : [],
		rejected: status === "D" ? [recipient] : [],
	};
}

/** Sorts the recipients by their status. */
export function byStatus(
	responses: readonly (QmtpResponse & { readonly recipient: string })[],
): Omit<SendResult, "responses"> {
	const result = { accepted: [] as string[], deferred: [] as string[], rejected: [] as string[] };
	for (const { status, recipient } of responses) {
		if (status === "K") result.accepted.push(recipient);
		else if (status === "Z") result.deferred.push(recipient);
		else result.rejected.push(recipient);
	}
	return result;
}

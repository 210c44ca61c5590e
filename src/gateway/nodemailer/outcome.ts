/** What became of a mail: the recipients' responses, sorted as nodemailer's users expect them. */
import type { RecipientResult } from "../../client/result.js";
import { codeOf, QmtpMailError, systemDetails } from "./error.js";

/** What became of one recipient. */
export interface QmtpDeliveryResponse extends RecipientResult {
	/** What was spoken with the host, if a router tells. */
	readonly protocol?: string;
	/** The host that it went to, if a router tells. */
	readonly host?: string;
}

/** What became of a mail that was accepted for somebody. Each recipient is either `accepted` or `rejected`. */
export interface QmtpOutcome {
	/** The addresses with a K: the server is responsible for them. */
	accepted: string[];
	/** All others, with a D or with a Z. */
	rejected: string[];
	/** Those of `rejected` with a Z, or without an answer: send to them again later. */
	pending: string[];
	/** Why, for each address of `rejected`, in the same order. */
	rejectedErrors: QmtpMailError[];
	/** What the server said about the first accepted recipient, as SMTP would say it: `250` and the description. */
	response: string;
	/** What was said about each recipient, in their order, as it was said. */
	responses: readonly QmtpDeliveryResponse[];
}

/** Sorts the responses. @throws QmtpMailError if nobody was accepted. */
export function outcome(responses: readonly QmtpDeliveryResponse[]): QmtpOutcome {
	const accepted: string[] = [];
	const rejected: string[] = [];
	const pending: string[] = [];
	const rejectedErrors: QmtpMailError[] = [];
	let response = "";
	for (const result of responses) {
		if (result.status === "K") {
			if (accepted.length === 0) response = reply(250, result.description);
			accepted.push(result.recipient);
			continue;
		}
		rejected.push(result.recipient);
		if (result.status === "Z") pending.push(result.recipient);
		rejectedErrors.push(recipientError(result));
	}
	if (accepted.length === 0) throw nobodyAccepted(rejected, pending, rejectedErrors);
	return { accepted, rejected, pending, rejectedErrors, response, responses };
}

function recipientError(result: QmtpDeliveryResponse): QmtpMailError {
	const { recipient, status, description, error, possiblyAccepted = false } = result;
	if (error !== undefined && status !== "D") {
		const details = { recipient, possiblyAccepted, cause: error, ...systemDetails(error) };
		return new QmtpMailError(codeOf(error), `No answer: ${error.message}`, details);
	}
	const permanent = status === "D";
	const responseCode = permanent ? 554 : 451;
	const response = reply(responseCode, description);
	const message = `Recipient was ${permanent ? "rejected" : "deferred"}: ${response}`;
	const cause = error === undefined ? {} : { cause: error }; // a router's reason to try no more
	return new QmtpMailError("EENVELOPE", message, { recipient, response, responseCode, permanent, ...cause });
}

/** As of nodemailer's SMTP, a temporary failure outweighs a permanent one: some recipients may be reached later. */
function nobodyAccepted(
	rejected: string[],
	pending: string[],
	rejectedErrors: QmtpMailError[],
): QmtpMailError {
	const decisive = rejectedErrors.find(({ permanent }) => permanent !== true) ?? rejectedErrors.at(-1);
	const all = { rejected, pending, rejectedErrors };
	if (decisive === undefined) return new QmtpMailError("EMESSAGE", "Can't send mail - no answer at all", all);
	const { code, response, responseCode, permanent, originalCode, timeoutType, cause } = decisive;
	const message = response === undefined ? decisive.message : `all recipients were rejected: ${response}`;
	return new QmtpMailError(code, `Can't send mail - ${message}`, {
		...all,
		...(response !== undefined && { response }),
		...(responseCode !== undefined && { responseCode }),
		...(permanent !== undefined && { permanent }),
		...(originalCode !== undefined && { originalCode }),
		...(timeoutType !== undefined && { timeoutType }),
		...(cause !== undefined && { cause }),
		possiblyAccepted: rejectedErrors.some((error) => error.possiblyAccepted === true),
	});
}

// A server's description may hold anything, and what looks like a reply of SMTP must be one line.
function reply(code: number, description: string): string {
	return `${code} ${description.replace(/\p{Cc}+/gu, " ").trim()}`;
}

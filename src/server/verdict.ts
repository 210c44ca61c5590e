/**
 * What hooks say, for every server that asks them: an answer is a refusal or none, and what a hook throws is an answer
 * too, and is told as a fault. Nothing here throws, and no promise rejects.
 */
import { QueueError } from "../errors.js";
import type { MessageInfo } from "../protocol/message-info.js";
import type { QmtpResponse, Verdict } from "../protocol/response.js";
import { failure, isPromise, isResponse, type Teller } from "./intake.js";
import { NOT_MY_DOMAIN } from "./refusals.js";

/**
 * Asks a hook.
 *
 * @returns The refusal that its answer is, or null; at once if the hook answers at once, else a promise of it.
 */
export function askHook(
	hook: () => Verdict | Promise<Verdict>,
	teller: Teller,
): QmtpResponse | null | Promise<QmtpResponse | null> {
	try {
		const verdict = hook();
		if (!isPromise(verdict)) return refusalOf(verdict, teller);
		return Promise.resolve(verdict).then(
			(verdict) => refusalOf(verdict, teller),
			(error) => failure(error, teller),
		);
	} catch (error) {
		return failure(error, teller);
	}
}

/** What a recipient gets where there is no hook to ask: only who may relay has its recipients taken. */
export function withoutRecipientHook({ access }: MessageInfo): QmtpResponse | null {
	return access.relay === true ? null : NOT_MY_DOMAIN;
}

/** The refusal that a hook's answer is, or null. */
function refusalOf(verdict: Verdict, teller: Teller): QmtpResponse | null {
	if (verdict === undefined || verdict === null) return null;
	if (!isResponse(verdict)) return failure(NO_VERDICT, teller);
	// A hook cannot accept in the queue's place: mail that nobody stored would get a K.
	return verdict.status === "K" ? null : verdict;
}

const NO_VERDICT = new QueueError("ERR_QMTP_HOOK", "a hook's answer is no response (#4.3.0)");

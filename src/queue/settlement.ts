/** What is said of a job's recipients when an attempt ends, checked. The same for every source. */
import { UsageError } from "../errors.js";
import type { QmtpResponse } from "../protocol/response.js";

/** The end of an attempt. */
export interface Settlement {
	/** For each recipient of the job, in order: true if it is finished with. */
	readonly finished: readonly boolean[];
	/** When the others are tried again, in ms since 1970. */
	readonly nextAttempt: number;
}

/**
 * Reads what `Job.settle` was given.
 *
 * @param recipients - How many the job has.
 * @param now - In ms since 1970.
 * @throws UsageError as `Job.settle`.
 */
export function settlement(
	recipients: number,
	responses: readonly QmtpResponse[],
	{ nextAttempt, now }: { readonly nextAttempt: number | Date | undefined; readonly now: number },
): Settlement {
	if (responses.length !== recipients) {
		const wanted = `${recipients} responses are needed, one for each recipient`;
		throw new UsageError("ERR_QMTP_RESPONSES", `${wanted}, and ${responses.length} were given`);
	}
	const time = Number(nextAttempt ?? now + RETRY_MS);
	if (!Number.isFinite(time)) throw new UsageError("ERR_QMTP_OPTION", "nextAttempt must be a time");
	return { finished: responses.map(({ status }) => status === "K" || status === "D"), nextAttempt: time };
}

const RETRY_MS = 5 * 60 * 1000;

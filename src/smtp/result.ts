/** What an SMTP client tells of the mail that it sent. */
import type { QmtpError } from "../errors.js";
import type { QmtpResponse } from "../protocol/response.js";

/** What became of one recipient. The description is the server's reply if it gave one. */
export interface SmtpResult extends QmtpResponse {
	/** As the caller gave it. */
	readonly recipient: string;
	/**
	 * Why the server said nothing about this recipient: `status` is then Z. With `ERR_QMTP_CONNECT` there was a
	 * connection, but the server did not begin a session on it, so another host may be tried.
	 */
	readonly error?: QmtpError;
	/** With `error`: true if the server may have accepted it, so that sending it again may make a duplicate. */
	readonly possiblyAccepted?: boolean;
}

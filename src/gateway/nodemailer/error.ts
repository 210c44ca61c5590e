/** What goes wrong with a mail, in nodemailer's words. The error in this package's words is the `cause`. */
import { ProtocolError, QmtpError, type QmtpErrorCode } from "../../errors.js";

/** Those of nodemailer's codes that a {@link QmtpMailError} carries. */
export type QmtpMailErrorCode =
	| "ECONNECTION"
	| "ETIMEDOUT"
	| "ESOCKET"
	| "EDNS"
	| "EPROTOCOL"
	| "EENVELOPE"
	| "EMESSAGE"
	| "ESTREAM"
	| "EABORT";

/** What a {@link QmtpMailError} tells beside its code. */
export interface QmtpMailErrorDetails {
	/** What the server said about the mail, as SMTP would say it: `554` or `451`, and the description. */
	readonly response?: string;
	/** 554 for a D, 451 for a Z. Only if there is a `response`. */
	readonly responseCode?: number;
	/** True for a D: never try again. Only if there is a `response`. */
	readonly permanent?: boolean;
	/** The address that it is about, in `rejectedErrors`. */
	readonly recipient?: string;
	/** All addresses of the mail, if none of them was accepted. */
	readonly rejected?: string[];
	/** Those of `rejected` that may be accepted later. */
	readonly pending?: string[];
	/** Why, for each address of `rejected`. */
	readonly rejectedErrors?: QmtpMailError[];
	/** True if the server may have accepted the mail, so that sending it again may make a duplicate. */
	readonly possiblyAccepted?: boolean;
	/** The system's code, or that of the stream that failed: `ECONNREFUSED`, `ENOENT`. */
	readonly originalCode?: string;
	/** What took too long: the connection, or an answer. Only with `ETIMEDOUT`. */
	readonly timeoutType?: "CONNECT_TIMEOUT" | "SOCKET_TIMEOUT";
}

/** An error of a mail that was not accepted for any recipient, or for one of them (in `rejectedErrors`). */
export class QmtpMailError extends Error implements QmtpMailErrorDetails {
	/**
	 * `EENVELOPE`: refused by the server, or there is no recipient or one that cannot be sent; `EDNS`, `ESOCKET`: no
	 * connection; `ECONNECTION`: it was lost, or the transport closed; `ETIMEDOUT`; `EPROTOCOL`: no QMTP server is there;
	 * `ESTREAM`: the message cannot be read; `EMESSAGE`: all else about it; `EABORT`: the caller's signal.
	 */
	readonly code: QmtpMailErrorCode;
	/** Where SMTP has a command. */
	readonly command = "QMTP";
	declare readonly response?: string;
	declare readonly responseCode?: number;
	declare readonly permanent?: boolean;
	declare readonly recipient?: string;
	declare readonly rejected?: string[];
	declare readonly pending?: string[];
	declare readonly rejectedErrors?: QmtpMailError[];
	declare readonly possiblyAccepted?: boolean;
	declare readonly originalCode?: string;
	declare readonly timeoutType?: "CONNECT_TIMEOUT" | "SOCKET_TIMEOUT";

	constructor(code: QmtpMailErrorCode, message: string, details: QmtpMailErrorDetails & ErrorOptions = {}) {
		const { cause, ...rest } = details;
		super(message, cause === undefined ? undefined : { cause });
		this.code = code;
		Object.assign(this, rest);
	}

	/** As nodemailer has it for mail that was given up, and the class for all other. */
	override get name(): string {
		return this.code === "EABORT" ? "AbortError" : "QmtpMailError";
	}
}

/** Any error as one for the sender of the mail. */
export function mailError(cause: unknown): QmtpMailError {
	if (cause instanceof QmtpMailError) return cause;
	const message = cause instanceof Error ? cause.message : String(cause);
	return new QmtpMailError(codeOf(cause), message, { cause, ...systemDetails(cause) });
}

/** What nodemailer calls this error. */
export function codeOf(error: unknown): QmtpMailErrorCode {
	if (error instanceof ProtocolError) return "EPROTOCOL";
	if (!(error instanceof QmtpError)) return "EMESSAGE";
	if (error.code === "ERR_QMTP_CONNECT" && LOOKUP_FAILURES.has(systemCode(error) ?? "")) return "EDNS";
	return CODES[error.code] ?? "EMESSAGE";
}

/** What nodemailer tells of such an error beside its code. */
export function systemDetails(error: unknown): QmtpMailErrorDetails {
	const originalCode = systemCode(error);
	const timeoutType = error instanceof QmtpError ? TIMEOUTS[error.code] : undefined;
	return {
		...(originalCode !== undefined && { originalCode }),
		...(timeoutType !== undefined && { timeoutType }),
	};
}

function systemCode(error: unknown): string | undefined {
	const cause = error instanceof QmtpError ? error.cause : error;
	const code = (cause as { code?: unknown } | null | undefined)?.code;
	return typeof code === "string" ? code : undefined;
}

const LOOKUP_FAILURES = new Set(["ENOTFOUND", "EAI_AGAIN"]);

const CODES: { readonly [code in QmtpErrorCode]?: QmtpMailErrorCode } = {
	ERR_QMTP_DNS: "EDNS",
	ERR_QMTP_DNS_NAME: "EDNS",
	ERR_QMTP_CONNECT: "ESOCKET",
	ERR_QMTP_CONNECT_TIMEOUT: "ETIMEDOUT",
	ERR_QMTP_RESPONSE_TIMEOUT: "ETIMEDOUT",
	ERR_QMTP_CONNECTION_CLOSED: "ECONNECTION",
	ERR_QMTP_CONNECTION_LOST: "ECONNECTION",
	ERR_QMTP_CLIENT_CLOSED: "ECONNECTION",
	ERR_QMTP_DESTROYED: "ECONNECTION",
	ERR_QMTP_RESPONSE_COUNT: "EPROTOCOL",
	ERR_QMTP_ADDRESS: "EENVELOPE",
	ERR_QMTP_RECIPIENTS: "EENVELOPE",
	ERR_QMTP_MESSAGE_SOURCE: "ESTREAM",
};

const TIMEOUTS: { readonly [code in QmtpErrorCode]?: "CONNECT_TIMEOUT" | "SOCKET_TIMEOUT" } = {
	ERR_QMTP_CONNECT_TIMEOUT: "CONNECT_TIMEOUT",
	ERR_QMTP_RESPONSE_TIMEOUT: "SOCKET_TIMEOUT",
};

/**
 * The errors of this package. The class says whose fault it is, the code says what happened. Refusals of mail
 * (Z and D) are values, `QmtpResponse`, and never errors. Every code has a heading in docs/errors.md.
 */

/** Codes of {@link ProtocolError}: the peer broke the rules of netstrings, of QMTP, or of what is put before it. */
export type ProtocolErrorCode =
	| "ERR_NETSTRING_LENGTH_EMPTY"
	| "ERR_NETSTRING_LENGTH_ZEROS"
	| "ERR_NETSTRING_LENGTH_DIGIT"
	| "ERR_NETSTRING_TOO_LONG"
	| "ERR_NETSTRING_COMMA"
	| "ERR_NETSTRING_TRUNCATED"
	| "ERR_NETSTRING_TRAILING"
	| "ERR_QMTP_MESSAGE_EMPTY"
	| "ERR_QMTP_MESSAGE_ENCODING"
	| "ERR_QMTP_RECIPIENT_OVERRUN"
	| "ERR_QMTP_RESPONSE_EMPTY"
	| "ERR_QMTP_RESPONSE_STATUS"
	| "ERR_QMTP_RESPONSE_UNEXPECTED"
	| "ERR_QMTP_PROXY_HEADER";

/** Codes of {@link UsageError}: the caller did what the documentation forbids. */
export type UsageErrorCode =
	| "ERR_NETSTRING_UNREAD"
	| "ERR_QMTP_ENDED"
	| "ERR_QMTP_OPTION"
	| "ERR_QMTP_ADDRESS"
	| "ERR_QMTP_RESPONSES"
	| "ERR_QMTP_RECIPIENTS"
	| "ERR_QMTP_MESSAGE"
	| "ERR_QMTP_MESSAGE_SIZE"
	| "ERR_QMTP_MESSAGE_SOURCE"
	| "ERR_QMTP_SERVER_STATE"
	| "ERR_QMTP_CLIENT_CLOSED"
	| "ERR_QMTP_PACKAGE"
	| "ERR_QMTP_CDB"
	| "ERR_QMTP_RULES"
	| "ERR_QMTP_CONTROL"
	| "ERR_QMTP_ROUTE";

/** Codes of {@link TransportError}: the network, its names, or time. */
export type TransportErrorCode =
	| "ERR_QMTP_DNS"
	| "ERR_QMTP_DNS_NAME"
	| "ERR_QMTP_CONNECT"
	| "ERR_QMTP_CONNECT_TIMEOUT"
	| "ERR_QMTP_TLS"
	| "ERR_QMTP_CONNECTION_CLOSED"
	| "ERR_QMTP_CONNECTION_LOST"
	| "ERR_QMTP_RESPONSE_TIMEOUT"
	| "ERR_QMTP_RESPONSE_COUNT"
	| "ERR_QMTP_IDLE_TIMEOUT"
	| "ERR_QMTP_SESSION_TIMEOUT"
	| "ERR_QMTP_SLOW_CLIENT"
	| "ERR_QMTP_CONNECTION_LIMIT"
	| "ERR_QMTP_LISTEN"
	| "ERR_QMTP_DESTROYED";

/** Codes of {@link QueueError}: a place that stores mail. */
export type QueueErrorCode =
	| "ERR_QMTP_QUEUE"
	| "ERR_QMTP_QUEUE_FULL"
	| "ERR_QMTP_QUEUE_COMMIT_TIMEOUT"
	| "ERR_QMTP_QUEUE_RESPONSES"
	| "ERR_QMTP_HOOK";

/** Every code that an error of this package carries. Codes are public API; messages are not. */
export type QmtpErrorCode = ProtocolErrorCode | UsageErrorCode | TransportErrorCode | QueueErrorCode;

/** Base class of all errors thrown by this package. */
export class QmtpError extends Error {
	/** What happened: one of the codes in docs/errors.md. */
	readonly code: QmtpErrorCode;

	constructor(code: QmtpErrorCode, message: string, options?: ErrorOptions) {
		super(message, options);
		this.code = code;
	}

	/** The name of the class. */
	override get name(): string {
		return "QmtpError";
	}
}

/** The peer sent what netstrings or QMTP forbid. Nothing after it on that stream can be understood. */
export class ProtocolError extends QmtpError {
	declare readonly code: ProtocolErrorCode;
	/** Offset in the stream, in bytes from its first one, of the byte that broke the rule. */
	readonly offset: number;

	constructor(code: ProtocolErrorCode, message: string, offset: number) {
		super(code, `${message} (at byte ${offset})`);
		this.offset = offset;
	}

	/** The name of the class. */
	override get name(): string {
		return "ProtocolError";
	}
}

/** The caller passed something wrong, or called at the wrong time. */
export class UsageError extends QmtpError {
	declare readonly code: UsageErrorCode;

	constructor(code: UsageErrorCode, message: string, options?: ErrorOptions) {
		super(code, message, options);
	}

	/** The name of the class. */
	override get name(): string {
		return "UsageError";
	}
}

/** The connection could not be made, was lost, or took too long. `cause` holds the system's error if there is one. */
export class TransportError extends QmtpError {
	declare readonly code: TransportErrorCode;

	constructor(code: TransportErrorCode, message: string, options?: ErrorOptions) {
		super(code, message, options);
	}

	/** The name of the class. */
	override get name(): string {
		return "TransportError";
	}
}

/**
 * A queue could not take a message. The server answers Z with its message, or D if `permanent`; so the message is
 * written for the sender of the mail: no paths and no host names.
 */
export class QueueError extends QmtpError {
	declare readonly code: QueueErrorCode;
	/** True if trying again cannot help. */
	readonly permanent: boolean;

	constructor(code: QueueErrorCode, message: string, options?: ErrorOptions & { permanent?: boolean }) {
		super(code, message, options);
		this.permanent = options?.permanent ?? false;
	}

	/** The name of the class. */
	override get name(): string {
		return "QueueError";
	}
}

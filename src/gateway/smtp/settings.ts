/** What an SMTP door can be told besides what smtp-server takes, and the defaults. */
import { hostname as osHostname } from "node:os";
import { UsageError } from "../../errors.js";
import { DEFAULT_PACKAGE_LIMITS } from "../../protocol/limits.js";
import { withDefaults } from "../../protocol/options.js";
import type { Queue } from "../../queue/queue.js";
import type { ServerHooks } from "../../server/hooks.js";

/** How much an SMTP door takes. */
export interface SmtpLimits {
	/**
	 * The largest message body in bytes, announced as SIZE. A message that declares more is refused at MAIL (552); what
	 * comes is counted as QMTP counts it, a line end as one byte. `AccessRights.messageBytes` can only be lower than
	 * this, since SIZE says one number to all.
	 * @defaultValue 104857600 (100 MiB)
	 */
	readonly messageBytes: number;
	/**
	 * The longest address in bytes. smtp-server itself takes 253 characters, unless it is told to be lenient.
	 * @defaultValue 999
	 */
	readonly addressBytes: number;
	/**
	 * Recipients of one message, refused ones included; those beyond it get 452.
	 * @defaultValue 1000
	 */
	readonly recipients: number;
	/**
	 * Connections at once; the newest gets 421.
	 * @defaultValue 61
	 */
	readonly connections: number;
}

/** How long an SMTP door waits, in milliseconds. `Infinity` is allowed. */
export interface SmtpTimeouts {
	/**
	 * Without a byte in either direction while the client is to send something. A queue that takes longer than this over
	 * one write loses the connection too.
	 * @defaultValue 600000 (10 minutes)
	 */
	readonly idle: number;
	/**
	 * For a queue to commit one message; then it gets 451, and a later result is dropped.
	 * @defaultValue 600000 (10 minutes)
	 */
	readonly commit: number;
	/**
	 * For messages under way to end after `close()`.
	 * @defaultValue 30000
	 */
	readonly close: number;
}

/** Options of an SMTP door that are this package's, and not smtp-server's. */
export interface SmtpDoorOptions {
	/** Where mail goes. The door opens deliveries in it and does not close it. */
	readonly queue: Queue;
	/**
	 * What is decided about clients, messages and addresses, as in a `QmtpServer`.
	 *
	 * `authorize` runs when a client has connected: `false` is 554, a throw 421. `message` and `sender` run at MAIL, and
	 * `MessageInfo.length` is what SIZE declared, if it did: line ends count as two there, so it is never exact.
	 * `recipient` runs at RCPT.
	 */
	readonly hooks?: ServerHooks;
	/**
	 * This host's name, for the greeting and the Received field.
	 * @defaultValue os.hostname()
	 */
	readonly hostname?: string;
	/**
	 * Puts a Received field on top of each message.
	 * @defaultValue true
	 */
	readonly received?: boolean;
	/** How much the door takes. */
	readonly limits?: Partial<SmtpLimits>;
	/** How long it waits, in milliseconds. */
	readonly timeouts?: Partial<SmtpTimeouts>;
}

/** {@link SmtpDoorOptions} with all defaults in place. */
export type SmtpDoorSettings = Required<SmtpDoorOptions> & {
	readonly limits: SmtpLimits;
	readonly timeouts: SmtpTimeouts;
};

/** Puts the defaults in. @throws UsageError `ERR_QMTP_OPTION` for what makes no sense. */
export function doorSettings(options: SmtpDoorOptions): SmtpDoorSettings {
	if (typeof options?.queue?.open !== "function") {
		throw new UsageError("ERR_QMTP_OPTION", "an SMTP server needs a queue: createSmtpServer({ queue })");
	}
	return {
		queue: options.queue,
		hooks: options.hooks ?? {},
		hostname: options.hostname ?? osHostname(),
		received: options.received ?? true,
		limits: withDefaults("limits", DEFAULT_LIMITS, options.limits),
		timeouts: withDefaults("timeouts", DEFAULT_TIMEOUTS, options.timeouts),
	};
}

/** The longest time that a timer of Node can wait; what is longer it makes 1 ms. */
export const LONGEST_TIMER: number = 2 ** 31 - 1;

const DEFAULT_LIMITS: SmtpLimits = {
	messageBytes: DEFAULT_PACKAGE_LIMITS.messageBytes,
	addressBytes: DEFAULT_PACKAGE_LIMITS.addressBytes,
	recipients: 1000,
	connections: 61,
};

const MINUTE = 60_000;

const DEFAULT_TIMEOUTS: SmtpTimeouts = { idle: 10 * MINUTE, commit: 10 * MINUTE, close: 30_000 };

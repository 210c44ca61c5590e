/** What an SMTP client can be told, and the defaults. */
import { hostname } from "node:os";
import type { ConnectionOptions } from "node:tls";
import { UsageError } from "../errors.js";
import { onlyOptions, withDefaults } from "../protocol/options.js";

/**
 * When a connection is encrypted by STARTTLS. `"opportunistic"`: if the server offers it; no certificate is verified, and
 * if it fails the mail goes out in plain text, as mail servers do. `"required"`: always, and the certificate must be the
 * host's, unless `tlsOptions` say otherwise. `"never"`: never.
 */
export type SmtpTls = "opportunistic" | "required" | "never";

/** How long an SMTP client waits, in milliseconds. */
export interface SmtpTimeouts {
	/**
	 * For a connection.
	 * @defaultValue 60000 (1 minute)
	 */
	readonly connect: number;
	/**
	 * Without a byte from or to the server: for its greeting, for a reply, while it does not read. A body that comes no
	 * further for so long ends the connection too.
	 * @defaultValue 1200000 (20 minutes)
	 */
	readonly response: number;
	/**
	 * With nothing under way, before it says QUIT.
	 * @defaultValue 60000 (1 minute)
	 */
	readonly idle: number;
	/**
	 * For how long a connection gets new messages. Servers end one after an hour or so.
	 * @defaultValue 3000000 (50 minutes)
	 */
	readonly session: number;
}

/** Options of an `SmtpClient`. */
export interface SmtpClientOptions {
	/** The server's name or address. */
	readonly host: string;
	/**
	 * The server's port.
	 * @defaultValue 25
	 */
	readonly port?: number;
	/**
	 * Connects to this address instead, while TLS goes by `host`: for who has looked up the host already.
	 * @defaultValue `host` is looked up
	 */
	readonly address?: string | undefined;
	/**
	 * The name that the client gives itself, for EHLO.
	 * @defaultValue os.hostname()
	 */
	readonly name?: string | undefined;
	/**
	 * When a connection is encrypted.
	 * @defaultValue "opportunistic"
	 */
	readonly tls?: SmtpTls;
	/** For TLS: `ca`, `minVersion`, and whatever else `tls.connect` takes. */
	readonly tlsOptions?: ConnectionOptions | undefined;
	/** How long it waits, in milliseconds. */
	readonly timeouts?: Partial<SmtpTimeouts>;
	/**
	 * How many messages go over one connection.
	 * @defaultValue 100
	 */
	readonly maxMessages?: number;
}

/** {@link SmtpClientOptions} with all defaults in place. */
export interface SmtpSettings {
	readonly host: string;
	readonly port: number;
	readonly address: string;
	readonly name: string;
	readonly tls: SmtpTls;
	readonly tlsOptions: ConnectionOptions;
	readonly timeouts: SmtpTimeouts;
	readonly maxMessages: number;
}

/** Puts the defaults in. @throws UsageError `ERR_QMTP_OPTION` for what makes no sense. */
export function smtpSettings(options: SmtpClientOptions): SmtpSettings {
	onlyOptions(options, NAMES);
	const {
		host,
		port = 25,
		address = host,
		tls = "opportunistic",
		tlsOptions = {},
		maxMessages = 100,
	} = options;
	const { name = hostname() || "localhost" } = options;
	for (const [option, value] of Object.entries({ host, address, name })) {
		// A line end in the name would be a second command.
		if (typeof value === "string" && /^[^\s\p{Cc}]+$/u.test(value)) continue;
		throw new UsageError("ERR_QMTP_OPTION", `${option} must be a name or an address, not ${value}`);
	}
	if (!Number.isInteger(port) || port < 1 || port > 65535) {
		throw new UsageError("ERR_QMTP_OPTION", `port must be a number from 1 to 65535, not ${port}`);
	}
	if (tls !== "opportunistic" && tls !== "required" && tls !== "never") {
		const message = `tls must be "opportunistic", "required" or "never", not ${tls}`;
		throw new UsageError("ERR_QMTP_OPTION", message);
	}
	if (typeof tlsOptions !== "object" || tlsOptions === null) {
		throw new UsageError("ERR_QMTP_OPTION", "tlsOptions must be an object");
	}
	if (!(maxMessages >= 1)) {
		throw new UsageError("ERR_QMTP_OPTION", `maxMessages must be at least 1, not ${maxMessages}`);
	}
	const timeouts = withDefaults("timeouts", DEFAULT_TIMEOUTS, options.timeouts);
	return { host, port, address, name, tls, tlsOptions, timeouts, maxMessages };
}

/** What timers can wait; a longer time, Infinity too, is cut to it. In milliseconds. */
export const LONGEST_TIMER: number = 2 ** 31 - 1;

const NAMES = ["host", "port", "address", "name", "tls", "tlsOptions", "timeouts", "maxMessages"];

const MINUTE = 60_000;

const DEFAULT_TIMEOUTS: SmtpTimeouts = {
	connect: MINUTE,
	response: 20 * MINUTE,
	idle: MINUTE,
	session: 50 * MINUTE,
};

/** What a client can be told, and the defaults. */
import { UsageError } from "../errors.js";
import { type AddressEncoding, addressEncodingOption } from "../protocol/envelope.js";
import { onlyOptions, withDefaults } from "../protocol/options.js";

/** How much a client has under way on one connection. */
export interface ClientLimits {
	/**
	 * Packages sent and not answered.
	 * @defaultValue 1000
	 */
	readonly pipelined: number;
	/**
	 * Bytes of packages sent and not answered. A larger package goes alone.
	 * @defaultValue 67108864 (64 MiB)
	 */
	readonly inFlightBytes: number;
}

/** How long a client waits, in milliseconds. */
export interface ClientTimeouts {
	/**
	 * For a connection.
	 * @defaultValue 60000 (1 minute)
	 */
	readonly connect: number;
	/**
	 * With nothing under way, before it closes the connection.
	 * @defaultValue 60000 (1 minute)
	 */
	readonly idle: number;
	/**
	 * Without a byte from the server while an answer is owed, or while the server does not read.
	 * @defaultValue 1200000 (20 minutes)
	 */
	readonly response: number;
}

/** Options of a `QmtpClient`. */
export interface ClientOptions {
	/**
	 * The server's name or address.
	 * @defaultValue "127.0.0.1"
	 */
	readonly host?: string;
	/**
	 * The server's port.
	 * @defaultValue 209
	 */
	readonly port?: number;
	/** How much the client has under way. */
	readonly limits?: Partial<ClientLimits>;
	/** How long it waits, in milliseconds. */
	readonly timeouts?: Partial<ClientTimeouts>;
	/**
	 * Splits what is sent to more recipients than this. 1 is for servers that answer once a package, however many
	 * recipients it has.
	 * @defaultValue Infinity
	 */
	readonly maxRecipientsPerPackage?: number;
	/**
	 * How addresses become bytes.
	 * @defaultValue "utf-8"
	 */
	readonly addressEncoding?: AddressEncoding;
}

/** {@link ClientOptions} with all defaults in place. */
export interface ClientSettings {
	readonly host: string;
	readonly port: number;
	readonly limits: ClientLimits;
	readonly timeouts: ClientTimeouts;
	readonly maxRecipientsPerPackage: number;
	readonly addressEncoding: AddressEncoding;
}

/** Puts the defaults in. @throws UsageError `ERR_QMTP_OPTION` for what makes no sense. */
export function clientSettings(options: ClientOptions): ClientSettings {
	const { host = "127.0.0.1", port = 209, maxRecipientsPerPackage = Number.POSITIVE_INFINITY } = options;
	onlyOptions(options, ["host", "port", "limits", "timeouts", "maxRecipientsPerPackage", "addressEncoding"]);
	if (!Number.isInteger(port) || port < 1 || port > 65535) {
		throw new UsageError("ERR_QMTP_OPTION", `port must be a number from 1 to 65535, not ${port}`);
	}
	if (typeof host !== "string") throw new UsageError("ERR_QMTP_OPTION", "host must be a string");
	if (!(maxRecipientsPerPackage >= 1)) {
		const message = `maxRecipientsPerPackage must be at least 1, not ${maxRecipientsPerPackage}`;
		throw new UsageError("ERR_QMTP_OPTION", message);
	}
	return {
		host,
		port,
		limits: withDefaults("limits", DEFAULT_LIMITS, options.limits),
		timeouts: withDefaults("timeouts", DEFAULT_TIMEOUTS, options.timeouts),
		maxRecipientsPerPackage: Math.floor(maxRecipientsPerPackage),
		addressEncoding: addressEncodingOption(options.addressEncoding),
	};
}

const DEFAULT_LIMITS: ClientLimits = { pipelined: 1000, inFlightBytes: 64 * 1024 * 1024 };

const MINUTE = 60_000;

const DEFAULT_TIMEOUTS: ClientTimeouts = { connect: MINUTE, idle: MINUTE, response: 20 * MINUTE };

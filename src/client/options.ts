/** What a client can be told, and the defaults. */
import type { ConnectionOptions } from "node:tls";
import { nodeTls } from "../connecting.js";
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
	 * @defaultValue 209; 6209 with `tls`
	 */
	readonly port?: number;
	/**
	 * TLS from the first byte (QMTPS): `true`, or options as `tls.connect` takes them, such as `ca`, `cert` and `key`, or
	 * `servername`, which is `host` unless that is an address. The server's certificate must be valid for that name.
	 * @defaultValue false
	 */
	readonly tls?: boolean | ConnectionOptions;
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
	/** With its secure context made; null for a connection without TLS. */
	readonly tls: ConnectionOptions | null;
	readonly limits: ClientLimits;
	readonly timeouts: ClientTimeouts;
	readonly maxRecipientsPerPackage: number;
	readonly addressEncoding: AddressEncoding;
}

/** Puts the defaults in. @throws UsageError `ERR_QMTP_OPTION` for what makes no sense. */
export function clientSettings(options: ClientOptions): ClientSettings {
	const tls = tlsOption(options.tls);
	const { host = "127.0.0.1", port = tls === null ? QMTP_PORT : QMTPS_PORT } = options;
	const { maxRecipientsPerPackage = Number.POSITIVE_INFINITY } = options;
	onlyOptions(options, NAMES);
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
		tls,
		limits: withDefaults("limits", DEFAULT_LIMITS, options.limits),
		timeouts: withDefaults("timeouts", DEFAULT_TIMEOUTS, options.timeouts),
		maxRecipientsPerPackage: Math.floor(maxRecipientsPerPackage),
		addressEncoding: addressEncodingOption(options.addressEncoding),
	};
}

/** Made once, for all connections: what is wrong with it is told now, and a context takes some time to make. */
function tlsOption(tls: boolean | ConnectionOptions | undefined): ConnectionOptions | null {
	if (tls === undefined || tls === null || tls === false) return null;
	const given = tls === true ? {} : tls;
	if (typeof given !== "object") {
		throw new UsageError("ERR_QMTP_OPTION", `tls must be true, false, or an object of options, not ${tls}`);
	}
	const wrong = OURS.find((name) => (given as Readonly<Record<string, unknown>>)[name] !== undefined);
	if (wrong !== undefined) {
		const message = `there is no option tls.${wrong}: the client makes its connections itself, by host and port`;
		throw new UsageError("ERR_QMTP_OPTION", message);
	}
	try {
		return { ...given, secureContext: given.secureContext ?? nodeTls().createSecureContext(given) };
	} catch (cause) {
		const { reason, message } = cause as Error & { readonly reason?: string };
		throw new UsageError("ERR_QMTP_OPTION", `tls cannot be used: ${reason ?? message}`, { cause });
	}
}

/** The port of QMTP, and by custom the one of QMTP in TLS. */
const QMTP_PORT = 209;
const QMTPS_PORT = 6209;

const NAMES = ["host", "port", "tls", "limits", "timeouts", "maxRecipientsPerPackage", "addressEncoding"];
const OURS = ["host", "port", "path", "socket", "lookup", "timeout"];

const DEFAULT_LIMITS: ClientLimits = { pipelined: 1000, inFlightBytes: 64 * 1024 * 1024 };

const MINUTE = 60_000;

const DEFAULT_TIMEOUTS: ClientTimeouts = { connect: MINUTE, idle: MINUTE, response: 20 * MINUTE };

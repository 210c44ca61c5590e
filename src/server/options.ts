/** What a server can be told, and the defaults. */
import { hostname as osHostname } from "node:os";
import type { TlsOptions } from "node:tls";
import { UsageError } from "../errors.js";
import { type AddressEncoding, addressEncodingOption } from "../protocol/envelope.js";
import { DEFAULT_PACKAGE_LIMITS, type PackageLimits } from "../protocol/limits.js";
import { onlyOptions, withDefaults } from "../protocol/options.js";
import type { Queue } from "../queue/queue.js";
import { ConnectionLimit, type ConnectionLimiter, DEFAULT_CONNECTION_LIMITS } from "./connection-limit.js";
import type { ServerHooks } from "./hooks.js";
import { trustedProxies } from "./proxy/trusted.js";

/**
 * How much a server takes. All defaults but one are finite. None may be zero but `messageBytes`, `addressBytes`,
 * `waitingConnections` and `bytesPerSecond`.
 */
export interface ServerLimits extends PackageLimits {
	/**
	 * Recipients of one package that are taken; those beyond it get Z.
	 * @defaultValue 10000
	 */
	readonly recipients: number;
	/**
	 * Packages of one connection that may be in commit at once.
	 * @defaultValue 1000
	 */
	readonly pipelined: number;
	/**
	 * Connections at once; the newest is closed, or waits (see `waitingConnections`).
	 * @defaultValue 61
	 */
	readonly connections: number;
	/**
	 * Connections at once from one IPv4 address, or from one /64 network of IPv6; the newest is closed. Behind a proxy
	 * it is the address that the proxy tells. Connections that wait count too.
	 * @defaultValue Infinity
	 */
	readonly connectionsPerAddress: number;
	/**
	 * Connections beyond `connections` that are accepted, and not read until one of the others ends; at most for a minute,
	 * and `timeouts.idle`. One that its client has reset holds its place as long.
	 * @defaultValue 0
	 */
	readonly waitingConnections: number;
	/**
	 * The least that a client must send while the server waits for the rest of a package, in bytes a second, averaged
	 * over `timeouts.slow` once `timeouts.grace` is over. 0 allows any.
	 * @defaultValue 1024
	 */
	readonly bytesPerSecond: number;
	/**
	 * Bytes in memory for all connections: what deliveries hold (`Delivery.heldBytes`), envelopes, answers that are not
	 * sent, and what goes with each package. Beyond it only those are read from who hold less than 64 KiB, and of the
	 * others one at a time. What was read ahead is not in it: up to 192 KiB for each connection that waits.
	 * @defaultValue 67108864 (64 MiB)
	 */
	readonly heldBytes: number;
	/**
	 * Of these, bytes for one connection. Beyond it that connection is not read from while it is owed answers.
	 * @defaultValue 16777216 (16 MiB)
	 */
	readonly heldBytesPerConnection: number;
}

/** How long a server waits, in milliseconds. `Infinity` is allowed. */
export interface ServerTimeouts {
	/**
	 * Without a byte from the client while it is owed nothing, or with answers that it does not read.
	 * @defaultValue 600000 (10 minutes)
	 */
	readonly idle: number;
	/**
	 * The whole connection.
	 * @defaultValue 3600000 (1 hour; the specification's bound)
	 */
	readonly session: number;
	/**
	 * For a queue to commit one message; then its recipients get Z, and a later result is dropped.
	 * @defaultValue 600000 (10 minutes)
	 */
	readonly commit: number;
	/**
	 * For the client to close its side after the server has closed its own.
	 * @defaultValue 5000
	 */
	readonly linger: number;
	/**
	 * Over which the speed of a client is averaged; see `limits.bytesPerSecond`.
	 * @defaultValue 60000 (1 minute)
	 */
	readonly slow: number;
	/**
	 * In which a new client may be slow: what the server has waited for it within packages.
	 * @defaultValue 30000
	 */
	readonly grace: number;
}

/** Options of a `QmtpServer`. */
export interface ServerOptions {
	/** Where mail goes. The server opens deliveries in it and does not close it. */
	readonly queue: Queue;
	/** What is decided about clients, messages and addresses. See {@link ServerHooks}. */
	readonly hooks?: ServerHooks;
	/**
	 * This host's name, for the Received field.
	 * @defaultValue os.hostname()
	 */
	readonly hostname?: string;
	/**
	 * Puts a Received field on top of each message.
	 * @defaultValue true
	 */
	readonly received?: boolean;
	/**
	 * How addresses become strings. With `"utf-8"` an address that is not UTF-8 is refused by itself (#5.1.3);
	 * `"latin1"` loses nothing.
	 * @defaultValue "utf-8"
	 */
	readonly addressEncoding?: AddressEncoding;
	/** How much the server takes. */
	readonly limits?: Partial<ServerLimits>;
	/**
	 * One limit of connections that several servers share, in place of those in `limits`. What is given to `serve()` does
	 * not count.
	 */
	readonly connectionLimit?: ConnectionLimiter;
	/** How long it waits, in milliseconds. */
	readonly timeouts?: Partial<ServerTimeouts>;
	/**
	 * TLS from the first byte, on every socket that the server listens on (QMTPS, by custom on port 6209): whatever
	 * `tls.createServer` takes, and at least `cert` and `key`, `pfx`, `SNICallback` or `pskCallback`. A handshake counts as
	 * a connection, and may take 30 s, `timeouts.idle` if that is less, or `handshakeTimeout`.
	 */
	readonly tls?: TlsOptions;
	/**
	 * Whose connections begin with a PROXY header, of version 1 or 2, which tells who the client is: the addresses and
	 * networks of the proxies; true if all connections do. They must, and all others must not. The header comes before TLS.
	 * @defaultValue false: nobody's
	 */
	readonly proxyProtocol?: boolean | readonly string[];
}

/** {@link ServerOptions} with all defaults in place. */
export interface ServerSettings {
	readonly queue: Queue;
	readonly hooks: ServerHooks;
	readonly hostname: string;
	readonly received: boolean;
	readonly addressEncoding: AddressEncoding;
	readonly limits: ServerLimits;
	readonly connectionLimit: ConnectionLimiter;
	readonly timeouts: ServerTimeouts;
	readonly tls: TlsOptions | null;
	/** Whether the connections of an address begin with a PROXY header. */
	readonly isProxy: (address: string) => boolean;
}

/** Puts the defaults in. @throws UsageError `ERR_QMTP_OPTION` for what makes no sense. */
export function serverSettings(options: ServerOptions): ServerSettings {
	if (typeof options?.queue?.open !== "function") {
		throw new UsageError("ERR_QMTP_OPTION", "a server needs a queue: new QmtpServer({ queue })");
	}
	onlyOptions(options, NAMES);
	const limits = withDefaults("limits", DEFAULT_LIMITS, options.limits);
	return {
		queue: options.queue,
		hooks: options.hooks ?? {},
		hostname: options.hostname ?? osHostname(),
		received: options.received ?? true,
		addressEncoding: addressEncodingOption(options.addressEncoding),
		limits,
		connectionLimit: limiterOption(options.connectionLimit) ?? new ConnectionLimit(limits),
		timeouts: withDefaults("timeouts", DEFAULT_TIMEOUTS, options.timeouts),
		tls: tlsOption(options.tls),
		isProxy: trustedProxies(options.proxyProtocol ?? false),
	};
}

function limiterOption(limiter: ConnectionLimiter | undefined): ConnectionLimiter | null {
	if (limiter === undefined || limiter === null) return null;
	if (typeof limiter.enter === "function") return limiter;
	throw new UsageError(
		"ERR_QMTP_OPTION",
		"connectionLimit must have a method enter, as a ConnectionLimit has",
	);
}

function tlsOption(tls: TlsOptions | undefined): TlsOptions | null {
	if (tls === undefined || tls === null) return null;
	if (typeof tls !== "object") {
		throw new UsageError("ERR_QMTP_OPTION", `tls must be an object: { cert, key }, not ${tls}`);
	}
	// Node's server starts without any, and then no handshake succeeds.
	if (!(tls.cert || tls.pfx || tls.SNICallback || tls.pskCallback)) {
		throw new UsageError("ERR_QMTP_OPTION", "tls needs a certificate and its key: { cert, key }, or pfx");
	}
	if (tls.cert && !tls.key)
		throw new UsageError("ERR_QMTP_OPTION", "tls needs the key of its certificate: { cert, key }");
	return tls;
}

const NAMES = [
	"queue",
	"hooks",
	"hostname",
	"received",
	"addressEncoding",
	"limits",
	"connectionLimit",
	"timeouts",
	"tls",
	"proxyProtocol",
];

const DEFAULT_LIMITS: ServerLimits = {
	...DEFAULT_PACKAGE_LIMITS,
	recipients: 10_000,
	pipelined: 1000,
	...DEFAULT_CONNECTION_LIMITS,
	bytesPerSecond: 1024,
	heldBytes: 64 * 1024 * 1024,
	heldBytesPerConnection: 16 * 1024 * 1024,
};

const MINUTE = 60_000;

const DEFAULT_TIMEOUTS: ServerTimeouts = {
	idle: 10 * MINUTE,
	session: 60 * MINUTE,
	commit: 10 * MINUTE,
	linger: 5000,
	slow: MINUTE,
	grace: 30_000,
};

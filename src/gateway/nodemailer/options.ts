/** What the transport can be told, and the defaults. */
import { type ClientOptions, type ClientSettings, clientSettings } from "../../client/options.js";
import { UsageError } from "../../errors.js";
import { onlyOptions, wholeNumberOption } from "../../protocol/options.js";
import { clientOutlet, type Outlet, type QmtpDeliverer, routerOutlet } from "./outlet.js";

/** A logger as bunyan and pino make them, or the console. A level that is missing is not logged. */
export interface QmtpTransportLogger {
	/** Mail that goes out and mail that was accepted. */
	info?(data: object, message: string): void;
	/** Mail that was not. */
	error?(data: object, message: string): void;
}

/** Options of `qmtpTransport`: those of a `QmtpClient`, with the following. Any other is refused. */
export interface QmtpTransportOptions extends ClientOptions {
	/**
	 * Uses several connections. One is enough for most: mail is pipelined on it. More help against a server that answers
	 * slowly, or one large message that others would wait behind.
	 * @defaultValue false
	 */
	readonly pool?: boolean;
	/**
	 * With `pool`: how many connections.
	 * @defaultValue 5
	 */
	readonly maxConnections?: number;
	/**
	 * Messages on one connection; then another takes its place.
	 * @defaultValue Infinity
	 */
	readonly maxMessages?: number;
	/**
	 * Delivers the mail instead of one server: a router, or whatever else has such a `deliver`. Only `logger` may stand
	 * beside it. Whoever made it closes it.
	 */
	readonly router?: QmtpDeliverer;
	/**
	 * Told of each mail; `true` is the console.
	 * @defaultValue false
	 */
	readonly logger?: QmtpTransportLogger | boolean;
}

/** {@link QmtpTransportOptions} with all defaults in place. */
export interface TransportSettings {
	/** Makes a connection, or the way to the router. */
	readonly open: () => Outlet;
	readonly maxConnections: number;
	readonly maxMessages: number;
	/** The server; null with a router. */
	readonly server: ClientSettings | null;
	readonly logger: QmtpTransportLogger;
}

/** Puts the defaults in. @throws UsageError `ERR_QMTP_OPTION` for what makes no sense. */
export function transportSettings(options: QmtpTransportOptions): TransportSettings {
	const { pool, maxConnections, maxMessages, router, logger: given, ...client } = options;
	const logger = given === true ? console : given || {};
	if (router !== undefined) {
		onlyOptions(options, ["router", "logger"]);
		if (typeof router?.deliver !== "function") {
			throw new UsageError("ERR_QMTP_OPTION", "router must have a deliver()");
		}
		const open = () => routerOutlet(router);
		return { open, maxConnections: 1, maxMessages: Number.POSITIVE_INFINITY, server: null, logger };
	}
	if (maxConnections !== undefined && pool !== true) {
		throw new UsageError("ERR_QMTP_OPTION", "maxConnections is for a pool: set pool to true");
	}
	return {
		open: () => clientOutlet(client),
		maxConnections: pool === true ? wholeNumberOption("maxConnections", maxConnections ?? 5, 1) : 1,
		maxMessages:
			maxMessages === undefined || maxMessages === Number.POSITIVE_INFINITY
				? Number.POSITIVE_INFINITY
				: wholeNumberOption("maxMessages", maxMessages, 1),
		server: clientSettings(client), // so that a mistake is told now
		logger,
	};
}

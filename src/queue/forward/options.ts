/** What a queue that forwards can be told, and the defaults. */
import { hostname } from "node:os";
import { type ClientTimeouts, clientSettings } from "../../client/options.js";
import { UsageError } from "../../errors.js";
import { onlyOptions, wholeNumberOption, withDefaults } from "../../protocol/options.js";

/** How much a queue that forwards has under way. */
export interface ForwardLimits {
	/**
	 * Connections for large messages that go out while they arrive, one for each, and as many for those that were stored;
	 * of an SMTP next hop, all connections. A message that finds none while it arrives is stored; one that is stored waits
	 * in `commit`.
	 * @defaultValue 10
	 */
	readonly connections: number;
	/**
	 * Bytes of messages that are held in memory, by all deliveries together. Each takes as many as it has, at most 256 KiB,
	 * and so many if its length is not known. A message that finds too few is stored in a file.
	 * @defaultValue 67108864 (64 MiB)
	 */
	readonly memory: number;
}

/** Options of `forwardQueue`. `url` or `host` must be there. */
export interface ForwardQueueOptions {
	/** The next hop: `qmtp://host:port` or `smtp://host:port`. The port may be left out. */
	readonly url?: string;
	/** Instead of `url`: its name or address. */
	readonly host?: string;
	/**
	 * With `host`: its port.
	 * @defaultValue 209 for QMTP, 25 for SMTP
	 */
	readonly port?: number;
	/**
	 * With `host`: what it speaks.
	 * @defaultValue "qmtp"
	 */
	readonly protocol?: "qmtp" | "smtp";
	/**
	 * To a QMTP next hop: `"as-sent"`, the bytes as they came, announced as what they are; or `"lf"`, CR LF as LF, for
	 * servers that take nothing else (mailfront). What is converted has a length that nobody knows before its end, so it
	 * is stored until it is sent.
	 * @defaultValue "as-sent"
	 */
	readonly transmit?: "as-sent" | "lf";
	/**
	 * To a QMTP next hop: splits what is for more recipients than this. 1 is for servers that answer once a package,
	 * however many recipients it has. With a bound, large messages are stored until they are sent.
	 * @defaultValue Infinity
	 */
	readonly maxRecipientsPerPackage?: number;
	/**
	 * To an SMTP next hop: the name that we give ourselves, for EHLO.
	 * @defaultValue os.hostname()
	 */
	readonly name?: string | undefined;
	/**
	 * How many Received fields a message may have, without the one that this server adds. One with more gets D (#5.4.6).
	 * @defaultValue 100
	 */
	readonly maxReceived?: number;
	/** How much is under way. */
	readonly limits?: Partial<ForwardLimits>;
	/** How long the next hop may keep us waiting, in milliseconds; the same as those of `QmtpClient`. */
	readonly timeouts?: Partial<ClientTimeouts>;
}

/** {@link ForwardQueueOptions} with all defaults in place. */
export interface ForwardSettings {
	readonly protocol: "qmtp" | "smtp";
	readonly host: string;
	readonly port: number;
	readonly transmit: "as-sent" | "lf";
	readonly maxRecipientsPerPackage: number;
	readonly name: string;
	readonly maxReceived: number;
	readonly limits: ForwardLimits;
	readonly timeouts: ClientTimeouts;
}

/** Puts the defaults in. @throws UsageError `ERR_QMTP_OPTION` for what makes no sense. */
export function forwardSettings(options: ForwardQueueOptions): ForwardSettings {
	onlyOptions(options, NAMES);
	const { transmit = "as-sent", maxRecipientsPerPackage = Number.POSITIVE_INFINITY } = options;
	const { protocol, host, port } = options.url === undefined ? partsOf(options) : partsOfUrl(options);
	const foreign = (protocol === "qmtp" ? ONLY_SMTP : ONLY_QMTP).find((name) => options[name] !== undefined);
	if (foreign !== undefined) {
		throw new UsageError("ERR_QMTP_OPTION", `${foreign} says nothing to a next hop that speaks ${protocol}`);
	}
	if (transmit !== "as-sent" && transmit !== "lf") {
		throw new UsageError("ERR_QMTP_OPTION", `transmit must be "as-sent" or "lf", not ${transmit}`);
	}
	if (maxRecipientsPerPackage !== Number.POSITIVE_INFINITY) {
		wholeNumberOption("maxRecipientsPerPackage", maxRecipientsPerPackage, 1);
	}
	const limits = withDefaults("limits", DEFAULT_LIMITS, options.limits);
	return {
		protocol,
		host: hostOption("host", host),
		port: wholeNumberOption("port", port ?? PORTS[protocol], 1, 65535),
		transmit,
		maxRecipientsPerPackage,
		name: hostOption("name", options.name ?? (hostname() || "localhost")),
		maxReceived: wholeNumberOption("maxReceived", options.maxReceived ?? DEFAULT_MAX_RECEIVED, 0),
		limits: {
			connections: wholeNumberOption("limits.connections", limits.connections, 1),
			memory: wholeNumberOption("limits.memory", limits.memory, 1),
		},
		timeouts: clientSettings({ timeouts: options.timeouts ?? {} }).timeouts,
	};
}

interface Target {
	readonly protocol: "qmtp" | "smtp";
	readonly host: string | undefined;
	readonly port: number | undefined;
}

function partsOf({ protocol = "qmtp", host, port }: ForwardQueueOptions): Target {
	if (host === undefined) throw new UsageError("ERR_QMTP_OPTION", "the next hop is missing: url, or host");
	if (protocol === "qmtp" || protocol === "smtp") return { protocol, host, port };
	throw new UsageError("ERR_QMTP_OPTION", `protocol must be "qmtp" or "smtp", not ${protocol}`);
}

function partsOfUrl({ url, host, port, protocol }: ForwardQueueOptions): Target {
	if (host !== undefined || port !== undefined || protocol !== undefined) {
		throw new UsageError("ERR_QMTP_OPTION", "the next hop is url, or host with port and protocol, not both");
	}
	// Not the parser of WHATWG: it would let pass, and drop, what has no meaning here.
	const [whole, scheme, address, name, digits] = URL_OF_A_HOP.exec(String(url)) ?? [];
	if (whole === undefined) {
		const message = `url must be like qmtp://host:port or smtp://host:port, not ${url}`;
		throw new UsageError("ERR_QMTP_OPTION", message);
	}
	return {
		protocol: scheme?.toLowerCase() as "qmtp" | "smtp",
		host: address ?? name,
		port: digits === undefined ? undefined : Number(digits),
	};
}

function hostOption(name: string, host: unknown): string {
	// In SMTP a line end in a name would begin the next command.
	if (typeof host === "string" && /^[^\s\p{Cc}]+$/u.test(host)) return host;
	throw new UsageError("ERR_QMTP_OPTION", `${name} must be a name or an address, not ${host}`);
}

const NAMES = [
	...["url", "host", "port", "protocol", "transmit", "maxRecipientsPerPackage", "name", "maxReceived"],
	...["limits", "timeouts"],
];
const ONLY_QMTP = ["transmit", "maxRecipientsPerPackage"] as const;
const ONLY_SMTP = ["name"] as const;
const PORTS = { qmtp: 209, smtp: 25 };
// scheme, IPv6 address, other host, port
const URL_OF_A_HOP =
	/^(qmtp|smtp):\/\/(?:\[([0-9a-f:.]+(?:%[^\s\]]+)?)\]|([^\s:/?#@[\]]+))(?::(\d{1,5}))?\/?$/i;
const DEFAULT_MAX_RECEIVED = 100; // as qmail-smtpd
const DEFAULT_LIMITS: ForwardLimits = { connections: 10, memory: 64 * 1024 * 1024 };

/** What a relay can be told, and the defaults. */
import { hostname as systemHostname } from "node:os";
import { UsageError } from "../errors.js";
import { type AddressEncoding, addressEncodingOption } from "../protocol/envelope.js";
import { onlyOptions, textOption, wholeNumberOption, withDefaults } from "../protocol/options.js";
import { forwardSettings } from "../queue/forward/options.js";
import type { Queue } from "../queue/queue.js";
import type { Source } from "../queue/source.js";
import { MailRouter } from "../routing/router.js";
import { type Clock, systemClock } from "./clock.js";
import type { Deliverer } from "./deliverer.js";
import { nextHop, type OwnDeliverer } from "./next-hop.js";
import type { RelayRetry } from "./retry.js";

/** How much a relay has under way. */
export interface RelayLimits {
	/**
	 * Messages that are out of the source at a time, those that wait for their destination among them.
	 * @defaultValue 1000
	 */
	readonly messages: number;
	/**
	 * Deliveries at a time. A message is one for each of its destinations.
	 * @defaultValue 100; 1000 to a next hop by QMTP, on whose connection they are pipelined
	 */
	readonly concurrency: number;
	/**
	 * Deliveries at a time to one destination. To a next hop by SMTP these are the connections.
	 * @defaultValue 10; 1000 to a next hop by QMTP
	 */
	readonly perDestination: number;
	/**
	 * Deliveries that may wait for one destination. More go back, and come again half a minute later, so that one slow
	 * destination does not take all the room.
	 * @defaultValue 100; 1000 to a fixed next hop
	 */
	readonly waiting: number;
	/**
	 * Bytes of bodies in memory from which on no more messages are taken. Each counts what it has, up to 256 KiB. A source
	 * may hand out some more, which it has read by then.
	 * @defaultValue 67108864 (64 MiB)
	 */
	readonly bytes: number;
}

/** Options of a `Relay`. */
export interface RelayOptions {
	/** Where the mail comes from. It stays the caller's: close it after the relay. */
	readonly source: Source;
	/**
	 * Where it goes: `"mx"`, the exchanges of each recipient's domain; `qmtp://host:port` or `smtp://host:port`, that host
	 * alone; or whatever delivers, such as a `MailRouter` with options of one's own, which stays the caller's.
	 */
	readonly to: "mx" | (string & {}) | Deliverer;
	/**
	 * Where bounces go. It must keep what it says K to.
	 * @defaultValue `source`, if that is a queue too, as a spool is
	 */
	readonly bounces?: Queue | undefined;
	/**
	 * The name of this host: in bounces, and for EHLO.
	 * @defaultValue os.hostname()
	 */
	readonly hostname?: string | undefined;
	/**
	 * Who is told when a bounce cannot be delivered.
	 * @defaultValue postmaster at `hostname`
	 */
	readonly postmaster?: string | undefined;
	/** When messages are tried again, and for how long. */
	readonly retry?: Partial<RelayRetry>;
	/** How much is under way. */
	readonly limits?: Partial<RelayLimits>;
	/**
	 * A message with more Received fields goes in circles, and bounces (#5.4.6).
	 * @defaultValue 100
	 */
	readonly maxReceived?: number;
	/**
	 * How a deliverer of one's own takes addresses. A recipient that cannot be expressed so bounces (#5.1.3).
	 * @defaultValue "utf-8"
	 */
	readonly addressEncoding?: AddressEncoding;
	/**
	 * The clock, for tests.
	 * @internal
	 */
	readonly clock?: Clock;
	/**
	 * A number from 0 to below 1, for tests.
	 * @internal
	 */
	readonly random?: () => number;
}

/** {@link RelayOptions} with all defaults in place. */
export interface RelaySettings {
	readonly source: Source;
	readonly bounces: Queue;
	readonly deliverer: Deliverer;
	/** The same, if the relay has made it and closes it. */
	readonly own: OwnDeliverer | null;
	/** The fixed next hop's URL, the one destination that there is; null if domains are the destinations. */
	readonly nextHop: string | null;
	/** How the deliverer takes addresses. */
	readonly addressEncoding: AddressEncoding;
	readonly hostname: string;
	readonly postmaster: string;
	readonly retry: RelayRetry;
	readonly limits: RelayLimits;
	readonly maxReceived: number;
	readonly clock: Clock;
	readonly random: () => number;
}

/** Puts the defaults in. @throws UsageError `ERR_QMTP_OPTION` for what makes no sense. */
export function relaySettings(options: RelayOptions): RelaySettings {
	onlyOptions(options, NAMES);
	const { source, bounces = source as Partial<Queue> & Source } = options;
	if (typeof source?.take !== "function") throw wrong("source must have the method take");
	if (typeof bounces.open !== "function") throw wrong("bounces must be a queue, since source is none");
	const hostname = textOption("hostname", options.hostname ?? (systemHostname() || "localhost"));
	if (/[\s\p{Cc}]/u.test(hostname)) throw wrong("hostname must be a name");
	const postmaster = textOption("postmaster", options.postmaster ?? `postmaster@${hostname}`);
	const target = targetOf(options, hostname);
	const retry = withDefaults("retry", DEFAULT_RETRY, options.retry);
	return {
		source,
		bounces: bounces as Queue,
		...target,
		hostname,
		postmaster,
		retry,
		maxReceived: wholeNumberOption("maxReceived", options.maxReceived ?? DEFAULT_MAX_RECEIVED, 0),
		clock: options.clock ?? systemClock,
		random: options.random ?? Math.random,
	};
}

type Target = Pick<RelaySettings, "deliverer" | "own" | "nextHop" | "addressEncoding" | "limits">;

function targetOf(options: RelayOptions, hostname: string): Target {
	const { to, addressEncoding } = options;
	if (typeof to === "object" && typeof to?.deliver === "function") {
		const limits = limitsOption(DEFAULT_LIMITS, options.limits);
		return {
			deliverer: to,
			own: null,
			nextHop: null,
			addressEncoding: addressEncodingOption(addressEncoding),
			limits,
		};
	}
	if (addressEncoding !== undefined) throw wrong("addressEncoding is for a deliverer of one's own");
	if (to === "mx") {
		const own = new MailRouter({ hostname, addressEncoding: "latin1" });
		const limits = limitsOption(DEFAULT_LIMITS, options.limits);
		return { deliverer: own, own, nextHop: null, addressEncoding: "latin1", limits };
	}
	if (typeof to !== "string") throw wrong('to must be "mx", a URL, or something that delivers');
	if (!/^(qmtp|smtp):/i.test(to))
		throw wrong(`to must be mx, qmtp://host:port or smtp://host:port, not ${to}`);
	const isSmtp = /^smtp:/i.test(to);
	const settings = forwardSettings({ url: to, ...(isSmtp ? { name: hostname } : {}) });
	const limits = limitsOption(isSmtp ? SMTP_LIMITS : QMTP_LIMITS, options.limits);
	const own = nextHop(settings, limits.perDestination);
	return { deliverer: own, own, nextHop: to, addressEncoding: "latin1", limits };
}

function limitsOption(defaults: RelayLimits, given: Partial<RelayLimits> | undefined): RelayLimits {
	const limits = withDefaults("limits", defaults, given);
	for (const [name, value] of Object.entries(limits)) wholeNumberOption(`limits.${name}`, value, 1);
	return limits;
}

function wrong(message: string): UsageError {
	return new UsageError("ERR_QMTP_OPTION", message);
}

const NAMES = [
	...["source", "to", "bounces", "hostname", "postmaster", "retry", "limits", "maxReceived"],
	...["addressEncoding", "clock", "random"],
];
const DEFAULT_MAX_RECEIVED = 100; // as qmail-smtpd
const DEFAULT_LIMITS: RelayLimits = {
	messages: 1000,
	concurrency: 100,
	perDestination: 10,
	waiting: 100,
	bytes: 64 * 1024 * 1024,
};
const SMTP_LIMITS: RelayLimits = { ...DEFAULT_LIMITS, waiting: 1000 };
const QMTP_LIMITS: RelayLimits = { ...SMTP_LIMITS, concurrency: 1000, perDestination: 1000 };
const DEFAULT_RETRY: RelayRetry = {
	lifetime: 604_800_000,
	step: 20,
	firstRest: 60_000,
	longestRest: 3_600_000,
};

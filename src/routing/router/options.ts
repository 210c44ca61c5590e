/** What a router can be told, and the defaults. */
import { hostname as systemHostname } from "node:os";
import type { ConnectionOptions } from "node:tls";
import { UsageError } from "../../errors.js";
import { type AddressEncoding, addressEncodingOption } from "../../protocol/envelope.js";
import { onlyOptions, wholeNumberOption, withDefaults } from "../../protocol/options.js";
import { type SmtpTls, smtpSettings } from "../../smtp/options.js";
import { plainName } from "../domain-name.js";
import { FixedRoutes } from "../fixed-routes.js";
import { QMTP_PORT, SMTP_PORT } from "../mxps.js";
import { dnsResolver, type Resolver } from "../resolver.js";

/** How long a router waits, in milliseconds. */
export interface RouterTimeouts {
	/**
	 * For a connection to one address.
	 * @defaultValue 60000 (1 minute)
	 */
	readonly connect: number;
	/**
	 * Without a byte from a server that owes an answer.
	 * @defaultValue 1200000 (20 minutes)
	 */
	readonly response: number;
	/**
	 * With nothing under way, before a connection is closed.
	 * @defaultValue 60000 (1 minute)
	 */
	readonly idle: number;
}

/** The ports of exchanges. */
export interface RouterPorts {
	/** @defaultValue 209 */
	readonly qmtp: number;
	/** @defaultValue 25 */
	readonly smtp: number;
}

/** Options of a `MailRouter`. */
export interface RouterOptions {
	/**
	 * Who looks up names.
	 * @defaultValue `dnsResolver()`: the system's name servers
	 */
	readonly resolver?: Resolver | undefined;
	/** Routes that go before the DNS, to be tried by QMTP, and by SMTP where no connection can be made. */
	readonly qmtpRoutes?: FixedRoutes | null | undefined;
	/** Routes that go before the DNS, by SMTP alone. */
	readonly smtpRoutes?: FixedRoutes | null | undefined;
	/**
	 * The name of this host, for EHLO. As an exchange it is this host.
	 * @defaultValue os.hostname()
	 */
	readonly hostname?: string | undefined;
	/**
	 * Whether an exchange is this host: it and all that are no better are not tried.
	 * @defaultValue the exchange is called `hostname`
	 */
	readonly isOurself?: ((exchange: string) => boolean) | undefined;
	/** How long it waits, in milliseconds. */
	readonly timeouts?: Partial<RouterTimeouts>;
	/** The ports of exchanges that the DNS names. Fixed routes have their own. */
	readonly ports?: Partial<RouterPorts>;
	/**
	 * When SMTP is encrypted.
	 * @defaultValue "opportunistic"
	 */
	readonly smtpTls?: SmtpTls | undefined;
	/** For TLS under SMTP: `ca`, `minVersion`, and whatever else `tls.connect` takes. */
	readonly smtpTlsOptions?: ConnectionOptions | undefined;
	/**
	 * A message with more Received fields goes in circles, and gets D (#5.4.6).
	 * @defaultValue 100
	 */
	readonly maxReceived?: number | undefined;
	/**
	 * How addresses become bytes.
	 * @defaultValue "utf-8"
	 */
	readonly addressEncoding?: AddressEncoding | undefined;
	/**
	 * A number from 0 to below 1, for the order of exchanges with equal preferences.
	 * @defaultValue Math.random
	 */
	readonly random?: (() => number) | undefined;
}

/** {@link RouterOptions} with all defaults in place. */
export interface RouterSettings {
	readonly resolver: Resolver;
	readonly qmtpRoutes: FixedRoutes | null;
	readonly smtpRoutes: FixedRoutes | null;
	readonly hostname: string;
	readonly isOurself: (exchange: string) => boolean;
	readonly timeouts: RouterTimeouts;
	readonly ports: RouterPorts;
	readonly smtpTls: SmtpTls;
	readonly smtpTlsOptions: ConnectionOptions;
	readonly maxReceived: number;
	readonly addressEncoding: AddressEncoding;
	readonly random: () => number;
}

/** Puts the defaults in. @throws UsageError `ERR_QMTP_OPTION` for what makes no sense. */
export function routerSettings(options: RouterOptions): RouterSettings {
	onlyOptions(options, NAMES);
	const { resolver = dnsResolver(), hostname = systemHostname() || "localhost", maxReceived = 100 } = options;
	if (typeof resolver?.mx !== "function" || typeof resolver.addresses !== "function") {
		throw new UsageError("ERR_QMTP_OPTION", "resolver must have the methods mx and addresses");
	}
	if (!(maxReceived >= 1)) {
		throw new UsageError("ERR_QMTP_OPTION", `maxReceived must be at least 1, not ${maxReceived}`);
	}
	const { smtpTls = "opportunistic", smtpTlsOptions = {}, random = Math.random } = options;
	// What the SMTP client would say when it is made, for some mail.
	smtpSettings({ host: "localhost", name: hostname, tls: smtpTls, tlsOptions: smtpTlsOptions });
	const own = plainName(hostname);
	const { isOurself = (exchange: string) => exchange === own } = options;
	for (const [name, value] of Object.entries({ isOurself, random })) {
		if (typeof value !== "function") throw new UsageError("ERR_QMTP_OPTION", `${name} must be a function`);
	}
	return {
		resolver,
		qmtpRoutes: routesOption("qmtpRoutes", options.qmtpRoutes),
		smtpRoutes: routesOption("smtpRoutes", options.smtpRoutes),
		hostname,
		isOurself,
		timeouts: withDefaults("timeouts", DEFAULT_TIMEOUTS, options.timeouts),
		ports: portsOption(options.ports),
		smtpTls,
		smtpTlsOptions,
		maxReceived,
		addressEncoding: addressEncodingOption(options.addressEncoding),
		random,
	};
}

function routesOption(name: string, routes: FixedRoutes | null = null): FixedRoutes | null {
	if (routes === null || routes instanceof FixedRoutes) return routes;
	throw new UsageError("ERR_QMTP_OPTION", `${name} must be FixedRoutes`);
}

function portsOption(given: Partial<RouterPorts> | undefined): RouterPorts {
	const ports = withDefaults("ports", { qmtp: QMTP_PORT, smtp: SMTP_PORT }, given);
	for (const [name, port] of Object.entries(ports)) wholeNumberOption(`ports.${name}`, port, 1, 65535);
	return ports;
}

const NAMES = [
	...["resolver", "qmtpRoutes", "smtpRoutes", "hostname", "isOurself", "timeouts", "ports"],
	...["smtpTls", "smtpTlsOptions", "maxReceived", "addressEncoding", "random"],
];
const MINUTE = 60_000;
const DEFAULT_TIMEOUTS: RouterTimeouts = { connect: MINUTE, response: 20 * MINUTE, idle: MINUTE };

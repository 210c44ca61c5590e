/** What smtp-server is told: what the caller says, what this package's options come to, and safer defaults. */
import { UsageError } from "../../errors.js";
import { LONGEST_TIMER, type SmtpDoorOptions, type SmtpDoorSettings } from "./settings.js";

/** The options of smtp-server that are looked at here, out of many. */
export interface GivenOptions {
	readonly disabledCommands?: string[] | undefined;
	readonly onAuth?: unknown;
	readonly secure?: boolean | undefined;
	readonly secured?: boolean | undefined;
}

/** The options of smtp-server that are made here. */
export interface MadeOptions {
	readonly name: string;
	readonly size: number | undefined;
	readonly maxClients: number;
	readonly socketTimeout: number;
	readonly closeTimeout: number;
	readonly disabledCommands: string[];
	readonly authOptional?: boolean;
}

/** Options of smtp-server that have another name here, or whose work is the queue's and the hooks'. */
export type ReplacedSmtpOption =
	| "name"
	| "size"
	| "rejectOversized"
	| "maxClients"
	| "maxRecipients"
	| "socketTimeout"
	| "closeTimeout"
	| "onConnect"
	| "onMailFrom"
	| "onRcptTo"
	| "onData";

/**
 * The options for smtp-server's constructor.
 *
 * @param given - All that the caller gave.
 * @throws UsageError `ERR_QMTP_OPTION` for an option that has another name here, and for TLS without a certificate.
 */
export function serverOptions<Given extends GivenOptions>(
	given: Given & SmtpDoorOptions,
	{ hostname, limits, timeouts }: SmtpDoorSettings,
): Omit<Given, keyof SmtpDoorOptions> & MadeOptions {
	const { queue: _1, hooks: _2, hostname: _3, received: _4, limits: _5, timeouts: _6, ...rest } = given;
	for (const [name, instead] of Object.entries(REPLACED)) {
		if ((rest as Record<string, unknown>)[name] === undefined) continue;
		throw new UsageError("ERR_QMTP_OPTION", `there is no option ${name}: use ${instead}`);
	}
	const certified = CERTIFICATES.some((name) => (rest as Record<string, unknown>)[name] !== undefined);
	if (given.secure === true && given.secured !== true && !certified) {
		throw new UsageError("ERR_QMTP_OPTION", "secure needs a certificate: give key and cert");
	}
	const login = given.onAuth !== undefined;
	const disabledCommands = [...(given.disabledCommands ?? []), ...JOKES];
	if (!login) disabledCommands.push("AUTH");
	if (!certified) disabledCommands.push("STARTTLS");
	return {
		disableReverseLookup: true,
		...rest,
		...(login ? {} : { authOptional: true }),
		disabledCommands,
		name: hostname,
		size: Number.isFinite(limits.messageBytes) ? Math.floor(limits.messageBytes) : undefined,
		maxClients: limits.connections,
		socketTimeout: Math.min(timeouts.idle, LONGEST_TIMER),
		closeTimeout: Math.min(timeouts.close, LONGEST_TIMER),
	};
}

const REPLACED: Readonly<Record<ReplacedSmtpOption, string>> = {
	name: "hostname",
	size: "limits.messageBytes",
	rejectOversized: "limits.messageBytes",
	maxClients: "limits.connections",
	maxRecipients: "limits.recipients",
	socketTimeout: "timeouts.idle",
	closeTimeout: "timeouts.close",
	onConnect: "hooks.authorize",
	onMailFrom: "hooks.message and hooks.sender",
	onRcptTo: "hooks.recipient",
	onData: "queue",
};

const CERTIFICATES = ["key", "cert", "pfx", "SNICallback", "sniOptions"];
const JOKES = ["WIZ", "SHELL", "KILL"]; // commands of old sendmails, which smtp-server answers

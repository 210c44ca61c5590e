/**
 * `amqp://USER:PASSWORD@HOST:PORT/VHOST?queue=NAME` on the command line. Parameters stand behind the `?`, and the password
 * may be in the environment. No error tells any part of a URL that is wrong: it may be the password.
 */
import { UsageError } from "../errors.js";
import type { RabbitmqQueueOptions } from "../queue/rabbitmq.js";
import { WrongUse } from "./command.js";

/** A mail queue of a broker. */
export interface BrokerUrl {
	/** The URL as it was written, without the password. */
	readonly name: string;
	/** What it says. */
	readonly options: BrokerOptions;
}

/** The options that a URL may give. */
export type BrokerOptions = Pick<
	RabbitmqQueueOptions,
	"url" | "queue" | "deliveryLimit" | "maxBytesPerMessage"
>;

/** How it is written. */
export const BROKER_SYNTAX: string = "amqp://USER@HOST:PORT/VHOST";

/**
 * Reads one.
 *
 * @param option - Where it was given, for errors.
 * @param use - `connects: false`: no password is needed.
 * @throws WrongUse.
 */
export async function brokerUrl(
	text: string,
	option: string,
	{ connects = true }: { readonly connects?: boolean } = {},
): Promise<BrokerUrl> {
	if (text.includes("#")) throw new WrongUse(`--${option}: url has a # in it, which is written %23`);
	const mark = text.indexOf("?");
	const url = mark < 0 ? text : text.slice(0, mark);
	const query = mark < 0 ? "" : text.slice(mark);
	// The parameters after the URL itself: a `?` in a password makes what follows look like some.
	const address = connects ? withPassword(url, option) : url;
	const given = parameters(query, option);
	const { rabbitmqQueue } = await import("../queue/rabbitmq.js");
	const options = { url: address, ...given };
	try {
		rabbitmqQueue(options); // which connects only when it is used
	} catch (error) {
		throw error instanceof UsageError ? new WrongUse(`--${option}: ${error.message}`) : error;
	}
	return { name: url.replace(USER_INFO, "$1$2@") + query, options };
}

/** What is no queue and no source, for an error: of what looks like a URL, its scheme. */
export function withoutSecrets(text: string): string {
	return /\/\/|@/.test(text) ? `${/^[a-z]+:/i.exec(text)?.[0] ?? ""}...` : text;
}

/** The URL with the password of the environment, if it has a user and no password. */
function withPassword(url: string, option: string): string {
	if (!USER_ONLY.test(url)) return url;
	const { QMTP_AMQP_PASSWORD: password = "" } = process.env;
	if (password === "")
		throw new WrongUse(`--${option}: the password is missing: it is taken from QMTP_AMQP_PASSWORD`);
	return url.replace(USER_ONLY, (_, scheme, user) => `${scheme}${user}:${encodeURIComponent(password)}@`);
}

function parameters(query: string, option: string): Omit<BrokerOptions, "url"> {
	const given: Record<string, string | number> = {};
	for (const [name, value] of new URLSearchParams(query)) {
		const parameter = Object.hasOwn(PARAMETERS, name) ? PARAMETERS[name] : undefined;
		if (parameter === undefined) {
			const names = Object.keys(PARAMETERS).join(", ");
			throw new WrongUse(`--${option}: behind the ? stands what is none of ${names}`);
		}
		if (Object.hasOwn(given, parameter.option))
			throw new WrongUse(`--${option}: ${name} was given more than once`);
		given[parameter.option] =
			parameter.most === undefined ? value : number(value, name, parameter.most, option);
	}
	return given;
}

function number(value: string, name: string, most: number, option: string): number {
	if (/^\d+$/.test(value) && Number(value) >= 1 && Number(value) <= most) return Number(value);
	throw new WrongUse(`--${option}: ${name} must be a whole number from 1 to ${most}`);
}

/** The largest delivery limit. */
export const LARGEST_DELIVERY_LIMIT = 1_000_000;

const PARAMETERS: Readonly<Record<string, { readonly option: keyof BrokerOptions; readonly most?: number }>> =
	{
		queue: { option: "queue" },
		"delivery-limit": { option: "deliveryLimit", most: LARGEST_DELIVERY_LIMIT },
		"max-message-bytes": { option: "maxBytesPerMessage", most: 512 * 1024 ** 2 },
	};
// As the queue reads them: an @ in a password need not be written %40, so the last one counts.
const USER_ONLY = /^(amqps?:\/\/)([^/?#:]*)@(?![^/?#]*@)/i;
const USER_INFO = /^(amqps?:\/\/)([^/?#:]*)(?::[^/?#]*)?@/i;

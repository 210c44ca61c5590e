/**
 * AMQP URLs: `amqp://USER:PASSWORD@HOST:PORT/VHOST`, of which one may name several hosts. No error tells any part of one,
 * since what is not where it belongs may be the password.
 */
import { UsageError } from "../../errors.js";

/** Where a node is, and who we are to it. */
export interface BrokerAddress {
	/** True for TLS. */
	readonly secure: boolean;
	/** A name, or an IP address without brackets. */
	readonly host: string;
	readonly port: number;
	readonly user: string;
	readonly password: string;
	readonly vhost: string;
}

/** Reads one URL or several. @returns At least one node, in order. @throws UsageError `ERR_QMTP_OPTION`. */
export function brokerAddresses(url: string | readonly string[]): readonly BrokerAddress[] {
	const urls: readonly unknown[] = typeof url === "string" ? [url] : Array.isArray(url) ? url : [];
	const addresses = urls.flatMap((one) => (typeof one === "string" ? parse(one) : wrong("must be a text")));
	return addresses.length > 0 ? addresses : wrong("is missing");
}

/** An address as logs and errors show it: the URL without the password. */
export function shownAddress({ secure, host, port, user, vhost }: BrokerAddress): string {
	const inUrl = host.includes(":") ? `[${host}]` : host;
	const place = port === defaultPort(secure) ? inUrl : `${inUrl}:${port}`;
	const path = vhost === "/" ? "" : encodeURIComponent(vhost);
	return `${secure ? "amqps" : "amqp"}://${encodeURIComponent(user)}@${place}/${path}`;
}

function parse(url: string): BrokerAddress[] {
	const [, scheme, userInfo, hosts, path = "", rest = ""] =
		URL_PARTS.exec(url) ?? wrong("must be amqp://USER:PASSWORD@HOST:PORT/VHOST");
	if (path.includes("@"))
		wrong("has an @ behind its first slash: it is written %40 there, and a slash in a password %2F");
	if (LONE_SURROGATE.test(url)) wrong("has half a character");
	if (rest !== "") wrong("takes neither parameters nor a fragment");
	if (path.includes("/")) wrong("has a slash in its vhost, which is written %2F");
	const secure = scheme?.toLowerCase() === "amqps";
	const [user, password] = credentials(userInfo);
	const vhost = path === "" ? "/" : decoded(path);
	return (hosts as string).split(",").map((place) => {
		const [, bracketed, name, port = String(defaultPort(secure))] =
			HOST_AND_PORT.exec(place) ?? wrong("has a host that is none");
		if (Number(port) < 1 || Number(port) > 65_535) wrong("has a port that is none");
		return { secure, host: (bracketed ?? name) as string, port: Number(port), user, password, vhost };
	});
}

function credentials(userInfo: string | undefined): readonly [user: string, password: string] {
	if (userInfo === undefined) return ["guest", "guest"]; // as RabbitMQ is installed, and lets in from its own host only
	const colon = userInfo.indexOf(":");
	const user = decoded(colon < 0 ? userInfo : userInfo.slice(0, colon));
	const password = colon < 0 ? "" : decoded(userInfo.slice(colon + 1));
	if (`${user}${password}`.includes("\0")) wrong("has a %00 in its user or password"); // it would end them
	return [user, password];
}

function decoded(text: string): string {
	try {
		return decodeURIComponent(text);
	} catch {
		return wrong("has a % that begins no byte");
	}
}

function defaultPort(secure: boolean): number {
	return secure ? 5671 : 5672;
}

function wrong(problem: string): never {
	throw new UsageError("ERR_QMTP_OPTION", `url ${problem}`);
}

const LONE_SURROGATE = /\p{Surrogate}/u;
// An @ in a password need not be written %40, so the last one counts.
const URL_PARTS = /^(amqps?):\/\/(?:([^/?#]*)@)?([^/?#@]+)(?:\/([^?#]*))?([?#].*)?$/i;
const HOST_AND_PORT = /^(?:\[([0-9a-f:.]+)\]|([a-z0-9._-]+))(?::(\d{1,5}))?$/i;

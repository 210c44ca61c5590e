/** Whether a client would get a connection to an exchange: for each of its addresses, QMTP first and then SMTP. */
import type { Socket } from "node:net";
import { connectSocket } from "../../client/connect.js";
import { clientSettings } from "../../client/options.js";
import { TransportError } from "../../errors.js";
import type { RouteProtocol } from "../../routing/mxps.js";
import type { Resolver } from "../../routing/resolver.js";
import type { Route } from "../../routing/routes.js";
import { hostAndPort } from "../host-and-port.js";
import { Incoming } from "../incoming.js";
import { printable } from "../printable.js";

/** How to check. */
export interface CheckOptions {
	readonly resolver: Resolver;
	readonly ports: Readonly<Record<RouteProtocol, number>>;
	/** For each step, in milliseconds. */
	readonly timeout: number;
}

/** What was found. */
export interface Checked {
	/** One for each connection that was tried; they start with a tab. */
	readonly lines: readonly string[];
	/** Whether a client could go on: a QMTP server has taken the connection, or an SMTP server is ready. */
	readonly isReachable: boolean;
}

/** Connects to all addresses of an exchange. A QMTP server that takes the connection is not asked anything. */
export async function checkRoute(route: Route, options: CheckOptions): Promise<Checked> {
	let addresses: readonly string[];
	try {
		addresses = await options.resolver.addresses(route.exchange);
	} catch (error) {
		if (!(error instanceof TransportError)) throw error;
		return { lines: [`\t${printable(error.message)}`], isReachable: false };
	}
	if (addresses.length === 0) return { lines: [`\t${route.exchange} has no address`], isReachable: false };
	const all = await Promise.all(addresses.map((address) => checkAddress(route, address, options)));
	return {
		lines: all.flatMap(({ lines }) => lines),
		isReachable: all.some(({ isReachable }) => isReachable),
	};
}

async function checkAddress(route: Route, address: string, options: CheckOptions): Promise<Checked> {
	const lines: string[] = [];
	const protocols: readonly RouteProtocol[] = route.protocol === "qmtp" ? ["qmtp", "smtp"] : ["smtp"];
	for (const protocol of protocols) {
		const attempt = await connected(address, options.ports[protocol], options.timeout);
		const start = `\t${protocol} ${hostAndPort(address, options.ports[protocol])}`;
		if (attempt.socket === null) {
			lines.push(`${start} ${attempt.result}`);
			continue;
		}
		if (protocol === "qmtp") {
			attempt.socket.destroy();
			return { lines: [...lines, `${start} ${attempt.result}`], isReachable: true };
		}
		const greeting = await readGreeting(attempt.socket, options.timeout);
		lines.push(`${start} ${attempt.result}, ${greeting.result}`);
		return { lines, isReachable: greeting.isReady };
	}
	return { lines, isReachable: false };
}

async function connected(
	host: string,
	port: number,
	timeout: number,
): Promise<{ socket: Socket | null; result: string }> {
	const begun = performance.now();
	try {
		const settings = clientSettings({ host, port, timeouts: { connect: timeout } });
		const socket = await connectSocket(settings, new AbortController().signal);
		return { socket, result: `connected in ${(performance.now() - begun).toFixed(1)} ms` };
	} catch (error) {
		if (!(error instanceof TransportError)) throw error;
		return { socket: null, result: printable(error.message.replace(` to ${host}:${port}`, "")) };
	}
}

/** Reads the first line that an SMTP server says, and takes its leave. */
async function readGreeting(socket: Socket, timeout: number): Promise<{ result: string; isReady: boolean }> {
	const incoming = new Incoming(socket, new AbortController().signal);
	const deadline = performance.now() + timeout;
	let text = "";
	try {
		while (!text.includes("\n") && text.length < LONGEST_LINE) {
			const arrival = await incoming.next(deadline);
			if (arrival.type === "bytes") {
				text += Buffer.from(arrival.bytes.subarray(0, LONGEST_LINE)).toString("latin1");
				continue;
			}
			if (arrival.type === "nothing") {
				return { result: `no greeting within ${timeout / 1000} s`, isReady: false };
			}
			const how = arrival.type === "lost" ? arrival.reason : "the server closed the connection";
			return { result: `${how} before it had greeted`, isReady: false };
		}
	} finally {
		socket.end("QUIT\r\n", () => socket.destroy());
	}
	const [line = ""] = text.slice(0, LONGEST_LINE).split(/\r?\n/, 1);
	return { result: `greets with: ${printable(line)}`, isReady: READY.test(line) };
}

const LONGEST_LINE = 512; // RFC 5321, section 4.5.3.1.5
const READY = /^220(?:[ -]|$)/; // RFC 5321, section 4.3.2

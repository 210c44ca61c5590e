/**
 * The way to the server: one connection, made when there is mail for it. It tries the addresses of a name as tcpclient
 * does, each for two seconds, and those that did not answer in time once more for longer.
 *
 * Source: tcpclient(1) of ucspi-tcp 0.88.
 */
import { lookup } from "node:dns/promises";
import { QmtpClient } from "../../client/client.js";
import { type QmtpError, TransportError } from "../../errors.js";
import type { Report } from "./report.js";

/** A client, and the address that its server has. */
export interface Remote {
	readonly client: QmtpClient;
	readonly address: string;
}

/** Who the server is, and how much is under way to it. */
export interface LinkOptions {
	/** Its name or address; empty or "0" for this machine. */
	readonly host: string;
	readonly port: number;
	/** The most messages that are sent and not answered. */
	readonly window: number;
}

/** Clients of one server, one after the other. */
export class Link {
	readonly #options: LinkOptions;
	readonly #report: Report;
	#remote: Remote | null = null;
	#attempts: Attempt[] | null = null; // null: the name is to be looked up
	#attempt: Attempt | null = null;

	constructor(options: LinkOptions, report: Report) {
		this.#options = options;
		this.#report = report;
	}

	/** The client to send with. It connects with its first message. @throws TransportError if there is no address. */
	async open(): Promise<Remote> {
		if (this.#remote !== null) return this.#remote;
		this.#attempts ??= (await this.#addresses()).map((address) => ({ address, seconds: FIRST_SECONDS }));
		const attempt = this.#attempts.shift() as Attempt;
		this.#attempt = attempt;
		const { port, window } = this.#options;
		const client = new QmtpClient({
			host: attempt.address,
			port,
			addressEncoding: "latin1",
			limits: { pipelined: window },
			timeouts: { connect: attempt.seconds * 1000, response: RESPONSE_MS },
		});
		this.#remote = { client, address: attempt.address };
		return this.#remote;
	}

	/** The connection failed, or could not be made. @returns True if there is another address to be tried now. */
	fail(error: QmtpError): boolean {
		this.#remote?.client.destroy();
		this.#remote = null;
		const attempt = this.#attempt;
		const unreachable = isUnreachable(error);
		if (attempt !== null && error.code === "ERR_QMTP_CONNECT_TIMEOUT" && attempt.seconds === FIRST_SECONDS) {
			this.#attempts?.push({ ...attempt, seconds: LATER_SECONDS });
		} else {
			this.#report.warning(
				unreachable || attempt === null ? error.message : `${attempt.address}: ${error.message}`,
			);
		}
		this.#attempt = null;
		if (unreachable && this.#attempts !== null && this.#attempts.length > 0) return true;
		this.#attempts = null;
		return false;
	}

	/** Waits for what is under way, then ends the connection. */
	async close(): Promise<void> {
		await this.#remote?.client.close();
		this.#remote = null;
	}

	async #addresses(): Promise<string[]> {
		const { host } = this.#options;
		if (host === "" || host === "0") return ["127.0.0.1"];
		try {
			return (await lookup(host, { all: true, verbatim: true })).map(({ address }) => address);
		} catch (cause) {
			const message = `no address for ${host}: ${(cause as Error).message}`;
			throw new TransportError("ERR_QMTP_CONNECT", message, { cause });
		}
	}
}

function isUnreachable({ code }: QmtpError): boolean {
	return code === "ERR_QMTP_CONNECT" || code === "ERR_QMTP_CONNECT_TIMEOUT";
}

interface Attempt {
	readonly address: string;
	readonly seconds: number;
}

const FIRST_SECONDS = 2;
const LATER_SECONDS = 58;
const RESPONSE_MS = 3_600_000; // as serialqmtp

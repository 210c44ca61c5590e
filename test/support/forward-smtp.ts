/**
 * The npm package smtp-server as a next hop, and a queue in front of the one under test, for the contract: SMTP carries
 * lines and its own kind of addresses, so both are written as hexadecimal digits on the way.
 */
import type { AddressInfo } from "node:net";
import { SMTPServer } from "smtp-server";
import type { Delivery, Queue } from "../../src/queue/queue.js";
import type { StoredCopy } from "./queue-contract.js";

/** An SMTP server that keeps what it takes. */
export class SmtpHop {
	readonly port: number;
	readonly stored: StoredCopy[] = [];
	readonly #server: SMTPServer;
	#id = 0;

	private constructor(server: SMTPServer, port: number) {
		this.#server = server;
		this.port = port;
	}

	static async start(): Promise<SmtpHop> {
		let hop: SmtpHop | null = null;
		const server = new SMTPServer({
			authOptional: true,
			disabledCommands: ["AUTH", "STARTTLS"],
			disableReverseLookup: true,
			onData: async (stream, session, callback) => {
				const chunks: Buffer[] = [];
				try {
					for await (const chunk of stream) chunks.push(chunk as Buffer);
				} catch {
					return; // the client left
				}
				const { mailFrom, rcptTo } = session.envelope;
				const body = unhex(Buffer.concat(chunks).toString("latin1").replaceAll("\r\n", ""));
				for (const { address } of rcptTo) {
					const sender = mailFrom === false ? "" : decoded(mailFrom.address);
					hop?.stored.push({ sender, recipient: decoded(address), body });
				}
				callback(null, hop?.receipt());
			},
		});
		server.on("error", () => {}); // of connections that a test broke
		await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
		hop = new SmtpHop(server, (server.server.address() as AddressInfo).port);
		return hop;
	}

	receipt(): string {
		return `ok ${Math.floor(Date.now() / 1000)} qp ${++this.#id}`;
	}

	stop(): Promise<void> {
		return new Promise((resolve) => this.#server.close(resolve));
	}
}

/** The queue in front. Its responses are without the code of SMTP. */
export function inHexadecimal(queue: Queue): Queue {
	return {
		open: async (message): Promise<Delivery> => {
			const delivery = await queue.open(message);
			return {
				write: (bytes) => delivery.write(Buffer.from(hexLines(bytes))),
				commit: async ({ sender, recipients }) => {
					const responses = await delivery.commit({
						sender: sender === "" ? "" : encoded(sender, 0),
						recipients: recipients.map(encoded),
					});
					return responses.map(({ status, description }) => ({
						status,
						description: description.replace(/^250 (2\.\d+\.\d+ )?/, ""),
					}));
				},
				abort: (reason) => delivery.abort(reason),
			};
		},
		close: async () => queue.close?.(),
	};
}

function hexLines(bytes: Uint8Array): string {
	const hex = Buffer.from(bytes).toString("hex");
	return hex.replace(/.{1,500}/g, "$&\n");
}

function unhex(text: string): Uint8Array {
	return Buffer.from(text, "hex");
}

/** With the place in the list, since SMTP names equal recipients once. */
function encoded(address: string, index: number): string {
	return `${index}x${Buffer.from(address).toString("hex")}@example.com`;
}

function decoded(address: string): string {
	return address === "" ? "" : Buffer.from(address.replace(/^\d+x|@.*$/g, ""), "hex").toString();
}

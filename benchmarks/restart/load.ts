/** Clients that keep sending while their server is restarted: each sends a message again until it is accepted. */
import { setTimeout as sleep } from "node:timers/promises";
import { QmtpClient, type QmtpError } from "qmtp";
import { checkedBody } from "../soak/checked-mail.js";
import type { Random } from "../soak/random.js";

/** What the clients have seen. */
export class RestartLoad {
	/** The names of the messages that got a K. */
	readonly accepted: string[] = [];
	/** Connections that could not be made. */
	readonly refused: string[] = [];
	/** Answers that nobody should get. */
	readonly unexpected: string[] = [];
	/** Messages that were sent once more, since a connection ended before their answer. */
	resent = 0;
	readonly #port: number;
	readonly #random: Random;
	readonly #atOnce: number;
	#longestGap = 0;
	#isEnding = false;
	#goal: { readonly accepted: number; readonly reached: () => void } | null = null;

	/** @param atOnce - Messages of each client under way. */
	constructor(port: number, random: Random, atOnce: number) {
		this.#port = port;
		this.#random = random;
		this.#atOnce = atOnce;
	}

	/** Keeps so many clients busy until `end()`, and until what they have begun is accepted. */
	async run(clients: number): Promise<void> {
		await Promise.all(Array.from({ length: clients }, (_, client) => this.#client(client)));
	}

	/** Begins nothing any more. */
	end(): void {
		this.#isEnding = true;
	}

	/** Resolves when so many more messages were accepted. */
	moreAccepted(count: number): Promise<void> {
		return new Promise((reached) => {
			this.#goal = { accepted: this.accepted.length + count, reached };
		});
	}

	/** The longest time that a client was without an answer, since the last call, in milliseconds. */
	takeLongestGap(): number {
		const gap = this.#longestGap;
		this.#longestGap = 0;
		return gap;
	}

	async #client(number: number): Promise<void> {
		const client = new QmtpClient({ host: "127.0.0.1", port: this.#port });
		let [messages, last] = [0, performance.now()];
		const answered = () => {
			const now = performance.now();
			this.#longestGap = Math.max(this.#longestGap, now - last);
			last = now;
		};
		const work = async () => {
			while (!this.#isEnding) {
				const id = `${number}-${messages++}`;
				const message = checkedBody(id, this.#random.between(0, 5000), this.#random);
				while (!(await this.#send(client, id, message))) this.resent++;
				answered();
			}
		};
		await Promise.all(Array.from({ length: this.#atOnce }, work));
		await client.close();
	}

	/** @returns Whether that is the end of it. */
	async #send(client: QmtpClient, id: string, message: Uint8Array): Promise<boolean> {
		try {
			const { responses } = await client.send({
				sender: "sender@example.org",
				recipients: ["rcpt@example.com"],
				message,
			});
			const { status = "Z", error, description = "" } = responses[0] ?? {};
			if (status === "K") this.#accept(id);
			else if (error !== undefined) return false;
			else this.unexpected.push(`${id}: ${status}${description}`);
		} catch (error) {
			const { code, cause, message } = error as QmtpError;
			if (code !== "ERR_QMTP_CONNECT") throw error;
			this.refused.push(`${message} ${cause}`);
			await sleep(5);
			return false;
		}
		return true;
	}

	#accept(id: string): void {
		this.accepted.push(id);
		if (this.#goal !== null && this.accepted.length >= this.#goal.accepted) this.#goal.reached();
	}
}

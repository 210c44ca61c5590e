/** Clients that pipeline mail into a server while its broker dies and comes back, and keep account of each answer. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Random } from "../../benchmarks/soak/random.js";
import { copiesOf, type FaultMail, faultMail, packageOf } from "./faults-mails.js";
import { TestClient } from "./server-client.js";
import { Signal } from "./server-signal.js";

/** What the clients of one server have seen. */
export class BrokerLoad {
	/** What each copy was told. */
	readonly told = new Map<string, string>();
	/** How many copies got a K. */
	accepted = 0;
	readonly #name: string;
	readonly #port: number;
	readonly #random: Random;
	readonly #changes = new Signal();
	#lanes: Promise<void>[] = [];
	#sends = false;
	#mails = 0;
	#owed = 0;

	/** @param name - A part of the names of all messages. */
	constructor(name: string, port: number, random: Random) {
		this.#name = name;
		this.#port = port;
		this.#random = random;
	}

	/** How many copies wait for their answer. */
	get owed(): number {
		return this.#owed;
	}

	/** The copies whose answers are like this. */
	copies(like: RegExp): string[] {
		return [...this.told].filter(([, response]) => like.test(response)).map(([copy]) => copy);
	}

	/** Opens connections and keeps them busy until `stop`. */
	start(connections: number): void {
		this.#sends = true;
		this.#lanes = Array.from({ length: connections }, () => this.#pipeline());
	}

	/** Resolves when so many copies more have got a K. */
	async accepts(copies: number): Promise<void> {
		const goal = this.accepted + copies;
		const broken = Promise.all(this.#lanes).then(() => {
			throw new Error("the clients have ended");
		});
		await Promise.race([this.#changes.until(() => this.accepted >= goal), broken]);
	}

	/** Sends nothing more, and resolves when all is answered. */
	async stop(): Promise<void> {
		this.#sends = false;
		this.#changes.notify();
		await Promise.all(this.#lanes);
	}

	/** Sends so many messages over one connection, pipelined, and resolves when all are answered. */
	async sendAll(messages: number): Promise<void> {
		const client = await TestClient.connect(this.#port);
		const mails = Array.from({ length: messages }, () => this.#mail(this.#random.chance(0.2) ? 3 : 1));
		client.end(mails.map(packageOf).join(""));
		const responses = await client.all();
		for (const [index, copy] of mails.flatMap(copiesOf).entries()) this.#note(copy, responses[index] ?? "");
	}

	/** Sends one message over a connection of its own. @returns The answer. */
	async sendOne(): Promise<string> {
		const client = await TestClient.connect(this.#port);
		const mail = this.#mail(1);
		client.end(packageOf(mail));
		const [response = ""] = await client.all();
		this.#note(copiesOf(mail)[0] as string, response);
		return response;
	}

	/** One connection. Rejects if the server ends it. */
	async #pipeline(): Promise<void> {
		const client = await TestClient.connect(this.#port);
		const owed: string[] = []; // the copies, one for each answer
		let seen = 0;
		let restUntil = 0;
		const step = () => {
			if (client.ended || client.closed) throw new Error(`the server has ended: ${client.error}`);
			for (; seen < client.responses.length; seen++) {
				const response = client.responses[seen] as string;
				this.#note(owed[seen] as string, response);
				this.#owed--;
				if (!response.startsWith("K")) restUntil = Date.now() + REST;
			}
			const rests = Date.now() < restUntil;
			while (this.#sends && !rests && owed.length - seen < WINDOW) {
				const mail = this.#mail(this.#random.chance(0.2) ? 3 : 1);
				const copies = copiesOf(mail);
				owed.push(...copies);
				this.#owed += copies.length;
				client.send(packageOf(mail));
			}
			if (rests && seen === owed.length) return true;
			return !this.#sends && seen === owed.length;
		};
		const stopped = this.#changes.until(() => !this.#sends).then(() => client.changes.notify());
		do {
			await client.changes.until(step);
			// What was put off is put off for a while, as senders do; they know no event to wait for.
			if (this.#sends) await Promise.race([sleep(REST), stopped]);
		} while (this.#sends || seen < owed.length);
		client.end();
		await client.all();
	}

	#note(copy: string, response: string): void {
		this.told.set(copy, response);
		if (response.startsWith("K")) this.accepted++;
		this.#changes.notify();
	}

	#mail(recipients: number): FaultMail {
		const random = this.#random;
		// One in thirty is large.
		const size = random.chance(1 / 30) ? random.between(100_000, 300_000) : random.between(0, 2000);
		return faultMail(`${this.#name}-${this.#mails++}`, size, recipients, random);
	}
}

const WINDOW = 50;
const REST = 20;

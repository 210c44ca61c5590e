/** Clients that keep a server busy until it dies: each pipelines packages on one connection after the other. */
import type { Random } from "../../benchmarks/soak/random.js";
import { copiesOf, type FaultMail, faultMail, packageOf } from "./faults-mails.js";
import { TestClient } from "./server-client.js";

/** What the clients of one server process have seen. */
export class Load {
	/** The copies that got a K. */
	readonly accepted: string[] = [];
	/** Everything else that was answered. There should be nothing. */
	readonly refused: string[] = [];
	readonly #name: string;
	readonly #random: Random;
	#mails = 0;
	#answers = 0;
	#goal: { readonly answers: number; readonly reached: () => void } | null = null;

	/** @param name - A part of the names of all messages. */
	constructor(name: string, random: Random) {
		this.#name = name;
		this.#random = random;
	}

	/** Keeps so many connections to the server busy. Resolves when the server is gone. */
	async run(port: number, connections: number): Promise<void> {
		await Promise.all(Array.from({ length: connections }, () => this.#connect(port)));
	}

	/** Resolves when so many answers came. */
	answered(answers: number): Promise<void> {
		return new Promise((reached) => {
			this.#goal = { answers, reached };
		});
	}

	async #connect(port: number): Promise<void> {
		for (;;) {
			let client: TestClient;
			try {
				client = await TestClient.connect(port);
			} catch {
				return; // nobody is there any more
			}
			const last = this.#random.between(1, 60);
			const left = await this.#pipeline(client, last);
			client.socket.destroy();
			if (!left) return;
		}
	}

	/** Sends so many messages over one connection. @returns False if the server went before. */
	async #pipeline(client: TestClient, messages: number): Promise<boolean> {
		const owed: string[] = []; // the copies, one for each answer
		let sent = 0;
		let seen = 0;
		const step = () => {
			for (; seen < client.responses.length; seen++) this.#note(owed[seen] as string, client.responses[seen]);
			while (sent < messages && owed.length - seen < WINDOW && !client.closed) {
				const mail = this.#mail();
				owed.push(...copiesOf(mail));
				client.send(packageOf(mail));
				sent++;
			}
			return client.closed || client.ended || (sent === messages && seen === owed.length);
		};
		await client.changes.until(step);
		return seen === owed.length;
	}

	#note(copy: string, response = ""): void {
		if (response.startsWith("K")) this.accepted.push(copy);
		else this.refused.push(`${copy}: ${response}`);
		if (++this.#answers >= (this.#goal?.answers ?? Number.POSITIVE_INFINITY)) this.#goal?.reached();
	}

	#mail(): FaultMail {
		const random = this.#random;
		// One in thirty goes through a file in tmp/.
		const size = random.chance(1 / 30) ? random.between(262_144, 500_000) : random.between(0, 5000);
		return faultMail(`${this.#name}-${this.#mails++}`, size, random.chance(0.2) ? 3 : 1, random);
	}
}

const WINDOW = 20;

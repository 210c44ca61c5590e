/** One turn: some seconds in which clients of one process work on a server. */
import { setMaxListeners } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { checkedBody } from "./checked-mail.js";
import { Random } from "./random.js";
import { Tally } from "./tally.js";

/** What a process of clients is told. */
export interface TurnOptions {
	readonly port: number;
	readonly milliseconds: number;
	/** Unique: a part of the ids of all messages. */
	readonly name: string;
	readonly seed: number;
}

/** A message for some recipients. */
export interface SoakMail {
	readonly id: string;
	readonly body: Buffer;
	readonly recipients: readonly string[];
}

/** A turn under way, shared by the clients of a process. */
export class Turn {
	readonly port: number;
	readonly tally: Tally = new Tally();
	readonly random: Random;
	readonly #name: string;
	readonly #over = new AbortController();
	#mails = 0;

	constructor({ port, milliseconds, name, seed }: TurnOptions) {
		this.port = port;
		this.random = new Random(seed);
		this.#name = name;
		setMaxListeners(0, this.#over.signal); // as many as there are clients
		setTimeout(() => this.end(), milliseconds).unref();
	}

	/** True when nothing new is to be begun. */
	get over(): boolean {
		return this.#over.signal.aborted;
	}

	end(): void {
		this.#over.abort();
	}

	/** Waits for so long, or until the turn is over. */
	async pause(milliseconds: number): Promise<void> {
		await sleep(milliseconds, undefined, { signal: this.#over.signal }).catch(() => {});
	}

	/** A message with so many bytes of text. */
	mail(size: number): SoakMail {
		const id = `${this.#name}-${this.#mails++}`;
		const recipients = [GOOD, ...(this.random.chance(0.2) ? [`second@${DOMAIN}`] : [])];
		if (this.random.chance(0.05)) recipients.push(REFUSED);
		return { id, body: checkedBody(id, size, this.random), recipients };
	}

	/** One of 0 B to 5 MiB, most of them small. */
	mixedMail(): SoakMail {
		const { random } = this;
		const most = random.pick([0, ...SMALL, ...SMALL, ...SMALL, 65_536, 65_536, 1024 * 1024, LARGEST]);
		return this.mail(most === LARGEST && random.chance(0.8) ? 100 : random.between(0, most));
	}

	/** Notes what a recipient was told. @param response - From its K, Z or D on. */
	answered({ id }: SoakMail, recipient: string, response: string): void {
		const expected = recipient === REFUSED ? "D" : "K";
		const status = response.slice(0, 1);
		if (status !== expected)
			this.tally.fail(`${expected} was due, and came: ${response.replace(/\d{5,}/g, "N")}`);
		else this.tally.count(status);
		if (status === "K") this.tally.accepted.push(`${id} ${recipient}`);
	}
}

/** What the server takes mail for. */
export const DOMAIN = "example.com";
/** The largest body that the server takes. */
export const LARGEST_TAKEN: number = 6 * 1024 * 1024;

const GOOD = `first@${DOMAIN}`;
const REFUSED = "nobody@example.net";
const LARGEST = 5 * 1024 * 1024;
const SMALL = [500, 5000, 5000];

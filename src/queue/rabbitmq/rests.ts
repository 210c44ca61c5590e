/**
 * Who is left of messages whose settling could not be stored. Such a message may come again with all its recipients, and
 * those who are finished with are not to get it once more.
 */
import type { Mail } from "./mail.js";

/** A memory of the latest of them. */
export class Rests {
	readonly #left = new Map<string, Uint32Array>(); // by the mail's key; the positions of its recipients

	/** Remembers who is left. @param left - Their positions among the recipients of `mail`. */
	add({ key, positions }: Mail, left: readonly number[]): void {
		this.#left.delete(key); // it is the latest now
		this.#left.set(
			key,
			Uint32Array.from(left, (index) => positions?.[index] ?? index),
		);
		if (this.#left.size <= MOST) return;
		const [oldest] = this.#left.keys();
		this.#left.delete(oldest as string);
	}

	/** The message with those who are left, as far as it is remembered. */
	of(mail: Mail): Mail {
		const positions = this.#left.get(mail.key);
		if (positions === undefined) return mail;
		const { sender, recipients } = mail.envelope;
		const left = Array.from(positions, (position) => recipients[position] as string);
		return { ...mail, positions, envelope: { sender, recipients: left } };
	}
}

const MOST = 1000; // 40 MB, if each has 10,000 recipients left

/**
 * Puts responses into the order of their packages: "the server is not permitted to change the order under any
 * circumstances", however long each package takes.
 */
import { UsageError } from "../errors.js";
import type { QmtpResponse } from "./response.js";

/** Holds the responses to a package back until all packages before it have theirs. */
export class ResponseQueue {
	#slots: Slot[] = [];
	#head = 0; // index of the slot of the oldest package without responses taken
	#first = 0; // that package's number

	/** Packages that were added and whose responses have not been taken. */
	get pending(): number {
		return this.#slots.length - this.#head;
	}

	/** Adds the next package. Packages are numbered from 0 in the order in which they are added. */
	add(recipients: number): number {
		this.#slots.push({ recipients, responses: null });
		return this.#first + this.pending - 1;
	}

	/**
	 * Gives the responses to a package, one for each of its recipients.
	 *
	 * @throws UsageError `ERR_QMTP_RESPONSES` if there is no such package, if it has its responses, or if their number
	 * is wrong.
	 */
	respond(number: number, responses: readonly QmtpResponse[]): void {
		const slot = this.#slots[this.#head + number - this.#first];
		if (number < this.#first || slot === undefined) {
			throw new UsageError(
				"ERR_QMTP_RESPONSES",
				`package ${number} was not read to its end, or has been answered`,
			);
		}
		if (slot.responses !== null) {
			throw new UsageError("ERR_QMTP_RESPONSES", `package ${number} has its responses already`);
		}
		if (responses.length !== slot.recipients) {
			const counts = `${slot.recipients} recipients but was given ${responses.length} responses`;
			throw new UsageError("ERR_QMTP_RESPONSES", `package ${number} has ${counts}`);
		}
		slot.responses = responses;
	}

	/** Takes all responses that may be sent now, in order; empty if there are none. */
	take(): QmtpResponse[] {
		const taken: QmtpResponse[] = [];
		for (;;) {
			const responses = this.#slots[this.#head]?.responses ?? null;
			if (responses === null) break;
			for (const response of responses) taken.push(response);
			this.#head++;
			this.#first++;
		}
		// Cut off what was taken when that costs at most one move for each slot taken.
		if (this.#head * 2 >= this.#slots.length && this.#head > 0) {
			this.#slots = this.#slots.slice(this.#head);
			this.#head = 0;
		}
		return taken;
	}
}

interface Slot {
	readonly recipients: number;
	responses: readonly QmtpResponse[] | null;
}

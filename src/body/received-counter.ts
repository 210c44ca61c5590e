/** Counts the Received fields of a message while it passes by, so that mail that goes in circles is noticed. */

/** Reads the header of a message, whatever the chunks it comes in and however its lines end. It keeps no bytes. */
export class ReceivedCounter {
	/** Received fields so far. */
	count = 0;
	/** True when the header has ended: nothing more is counted. */
	ended = false;
	#line = 0; // bytes of the current line
	#matched: number = 0; // bytes of it that are the field's name; NO_MATCH if it is another's
	#onlyCr = false; // the current line is a CR so far

	/** Takes the next bytes of the message. */
	write(bytes: Uint8Array): void {
		for (let at = 0; at < bytes.length && !this.ended; ) {
			if (this.#matched === NO_MATCH) {
				// One search a line, and no look at its bytes.
				const end = bytes.indexOf(LF, at);
				if (end === -1) return;
				at = end;
			}
			this.#take(bytes[at++] as number);
		}
	}

	#take(byte: number): void {
		if (byte === LF) {
			this.ended = this.#line === 0 || this.#onlyCr;
			this.#line = 0;
			this.#matched = 0;
			this.#onlyCr = false;
			return;
		}
		this.#onlyCr = this.#line === 0 && byte === CR;
		this.#line++;
		if (this.#onlyCr) return; // the next byte tells
		const at = this.#matched;
		const matches =
			this.#line === at + 1 && (byte === LOWER_CASE.charCodeAt(at) || byte === UPPER_CASE.charCodeAt(at));
		this.#matched = matches ? at + 1 : NO_MATCH;
		if (this.#matched < LOWER_CASE.length) return;
		this.count++;
		this.#matched = NO_MATCH;
	}
}

const LOWER_CASE = "received:";
const UPPER_CASE = "RECEIVED:";
const NO_MATCH = -1;
const LF = 0x0a;
const CR = 0x0d;

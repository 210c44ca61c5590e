/**
 * Writes packages to a socket: small ones are gathered in a slab that is sent once, what is large is sent as it is,
 * without a copy.
 */
import type { Socket } from "node:net";

/** Bytes on their way to a socket, in order. */
export class BodyWriter {
	readonly #socket: Socket;
	#slab = NOTHING;
	#filled = 0;

	constructor(socket: Socket) {
		this.#socket = socket;
	}

	/** True if the socket holds more than it likes to: wait for its `drain` before writing on. */
	get blocked(): boolean {
		return this.#socket.writableNeedDrain;
	}

	/** Takes bytes over. They must not change until they are sent; small ones are copied. */
	write(bytes: Uint8Array): void {
		if (bytes.length > LARGE_BYTES) {
			this.flush();
			this.#socket.write(bytes);
			return;
		}
		if (bytes.length > this.#slab.length - this.#filled) this.flush();
		if (this.#slab.length === 0) this.#slab = Buffer.allocUnsafe(SLAB_BYTES);
		this.#slab.set(bytes, this.#filled);
		this.#filled += bytes.length;
	}

	/** Hands all that was written to the socket. To be called before any wait. */
	flush(): void {
		if (this.#filled === 0) return;
		const bytes = this.#slab.subarray(0, this.#filled);
		// The socket owns what it was given until it is sent, so the rest of the slab is used, and then a new one.
		this.#slab = this.#slab.subarray(this.#filled);
		if (this.#slab.length < LARGE_BYTES) this.#slab = NOTHING;
		this.#filled = 0;
		this.#socket.write(bytes);
	}
}

const NOTHING = Buffer.alloc(0);
const LARGE_BYTES = 16 * 1024;
const SLAB_BYTES = 64 * 1024;

/**
 * What one package holds in memory: the bytes of its body that its delivery still has, and its envelope. Numbers alone:
 * a body may come in any number of chunks.
 *
 * A delivery that does not tell what it holds (`Delivery.heldBytes`) is taken to hold what it was given since the wait
 * before the last that it asked for: one batch may be on its way to the disk while the next is gathered.
 */
import type { ConnectionBytes } from "./held-bytes.js";

/** The count of one package. */
export class PackageBytes {
	readonly #connection: ConnectionBytes;
	#envelope = OVERHEAD;
	#body = 0; // given since the last wait
	#before = 0; // given since the wait before, until then

	constructor(connection: ConnectionBytes) {
		this.#connection = connection;
		connection.add(OVERHEAD);
	}

	/** A recipient's address, or the sender's, of so many bytes. */
	address(bytes: number): void {
		this.#add(bytes + ADDRESS_OVERHEAD);
	}

	/** A recipient of whom nothing is kept but that there is one. */
	unnamed(): void {
		this.#add(UNNAMED_OVERHEAD);
	}

	/**
	 * The delivery was given bytes of the chunk that is being read.
	 * @param held - What it holds, if it tells.
	 */
	gave(bytes: number, held: number | undefined): void {
		if (held === 0 && this.#body === 0 && this.#before === 0) return; // the common case of a queue that holds nothing
		const counted = this.#connection.view(bytes);
		this.#body += counted;
		this.#connection.add(counted);
		if (held !== undefined) this.holds(held);
	}

	/** The delivery made the server wait, and takes bytes again. */
	waited(held: number | undefined): void {
		if (held !== undefined) {
			this.holds(held);
			return;
		}
		const released = this.#before;
		this.#before = this.#body;
		this.#body = 0;
		if (released > 0) this.#connection.add(-released);
	}

	/** The delivery holds so much, and pins a chunk with the first of it. */
	holds(held: number): void {
		const most = held === 0 ? 0 : held + LARGEST_CHUNK;
		const released = this.#body + this.#before - most;
		if (released <= 0) return;
		this.#body = most;
		this.#before = 0;
		this.#connection.add(-released);
	}

	/** The delivery has ended. */
	letGoBody(): void {
		this.holds(0);
	}

	/** The responses have been sent, or never will be. */
	letGoEnvelope(): void {
		this.#connection.add(-this.#envelope);
		this.#envelope = 0;
	}

	#add(bytes: number): void {
		this.#envelope += bytes;
		this.#connection.add(bytes);
	}
}

// What V8 takes for the objects of a package that waits for its commit, and for each of its recipients, measured: 1.0 KB and
// 95 bytes, the address among them. They count for more, since what is garbage already is still there for a while. One
// beyond the limit is a place in three arrays.
const OVERHEAD = 1400;
const ADDRESS_OVERHEAD = 150;
const UNNAMED_OVERHEAD = 24;
const LARGEST_CHUNK = 64 * 1024;

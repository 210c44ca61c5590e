/** A queue that holds what it takes until its disk has it, and a disk that is slow. */
import { accepted, type Delivery, type QmtpResponse, type Queue } from "qmtp";

const MIB = 1024 * 1024;
const BYTES_PER_SECOND = 256 * MIB;
const MOST_OUTSTANDING = 2 * MIB; // of one delivery, before it makes the server wait
const TICK_MS = 5;

/** One for all deliveries. */
export class SlowQueue implements Queue {
	/** Bytes that the disk has. */
	written = 0;
	#work: Work[] = [];
	#timer: NodeJS.Timeout | null = null;

	open(): Delivery {
		return new SlowDelivery(this);
	}

	/** Holds on to the bytes until they are written. */
	write(bytes: Uint8Array, done: () => void): void {
		this.#work.push({ bytes, done });
		this.#timer ??= setInterval(() => this.#tick(), TICK_MS);
	}

	#tick(): void {
		let room = (BYTES_PER_SECOND * TICK_MS) / 1000;
		let next = 0;
		for (; next < this.#work.length && room > 0; next++) {
			const { bytes, done } = this.#work[next] as Work;
			room -= bytes.length;
			this.written += bytes.length;
			done();
		}
		this.#work = this.#work.slice(next);
		if (this.#work.length > 0 || this.#timer === null) return;
		clearInterval(this.#timer);
		this.#timer = null;
	}
}

/** Bytes to be written, and who is to be told. */
interface Work {
	readonly bytes: Uint8Array;
	readonly done: () => void;
}

class SlowDelivery implements Delivery {
	readonly #queue: SlowQueue;
	#outstanding = 0;
	#waiting: { readonly most: number; readonly resolve: () => void } | null = null;

	constructor(queue: SlowQueue) {
		this.#queue = queue;
	}

	write(bytes: Uint8Array): void | Promise<void> {
		this.#outstanding += bytes.length;
		this.#queue.write(bytes, () => this.#written(bytes.length));
		if (this.#outstanding > MOST_OUTSTANDING) return this.#until(MOST_OUTSTANDING / 2);
	}

	async commit({ recipients }: { readonly recipients: readonly string[] }): Promise<QmtpResponse[]> {
		await this.#until(0);
		return recipients.map(() => accepted());
	}

	async abort(): Promise<void> {}

	#until(most: number): Promise<void> {
		if (this.#outstanding <= most) return Promise.resolve();
		return new Promise((resolve) => {
			this.#waiting = { most, resolve };
		});
	}

	#written(bytes: number): void {
		this.#outstanding -= bytes;
		if (this.#waiting === null || this.#outstanding > this.#waiting.most) return;
		this.#waiting.resolve();
		this.#waiting = null;
	}
}

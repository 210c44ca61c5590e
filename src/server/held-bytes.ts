/**
 * The bytes that a server holds in memory for its clients, and the marks beyond which it does not read on: one of each
 * connection, one of all.
 *
 * Counted are whole chunks as they were read, since one byte of a chunk that a queue keeps pins all of it, and for each
 * package its envelope and what its objects take, until it is answered. A connection over its mark waits while it is
 * owed answers: they will come. Over the mark of all everybody waits, but for one connection at a time, which reads on
 * until its package is answered: so packages that are held because they are not complete yet do not wait for each other.
 */

/** What all connections of a server hold. */
export class HeldBytes {
	/** Bytes held now. */
	total = 0;
	readonly #most: number;
	readonly #waiting = new Set<Waiting>();
	#passing: ConnectionBytes | null = null; // the one that reads on over the mark
	#package: object | null = null; // the package for which it may; null: whichever comes next

	/** @param most - The mark. */
	constructor(most: number) {
		this.#most = most;
	}

	/** @param bytes - How many more are held; fewer if it is negative. */
	add(bytes: number): void {
		this.total += bytes;
		if (bytes < 0 && this.#waiting.size > 0 && this.total <= this.#most) this.#wakeAll();
	}

	/** Whether a connection may read on. */
	mayRead(connection: ConnectionBytes, { reading, isOwed }: Progress): boolean {
		if (this.total <= this.#most) return true;
		if (this.#passing === null) this.#pass(connection, reading);
		if (this.#passing !== connection) return false;
		this.#package ??= reading;
		return this.#package === reading && !(reading === null && isOwed);
	}

	/** Somebody waits for others to let go. */
	wait(waiting: Waiting): void {
		this.#waiting.add(waiting);
	}

	/** It waits no more. */
	leave(waiting: Waiting): void {
		this.#waiting.delete(waiting);
	}

	/** A connection's package is answered: if it was the one for which it read on, it is the next one's turn. */
	answered(connection: ConnectionBytes, answered: object): void {
		if (this.#passing !== connection) return;
		if (this.#package === null || this.#package === answered) this.giveUp(connection);
	}

	/** A connection has ended, or is not sent what it could read: it is the next one's turn. */
	giveUp(connection: ConnectionBytes): void {
		if (this.#passing !== connection) return;
		this.#passing = null;
		const all = [...this.#waiting];
		const next = all.find(({ progress }) => progress.reading !== null) ?? all[0];
		if (next === undefined) return;
		this.#pass(next.connection, next.progress.reading);
		this.#waiting.delete(next);
		next.wake();
	}

	#pass(connection: ConnectionBytes, reading: object | null): void {
		this.#passing = connection;
		this.#package = reading;
	}

	#wakeAll(): void {
		const all = [...this.#waiting];
		this.#waiting.clear();
		for (const { wake } of all) wake();
	}
}

/** How far a connection is. */
export interface Progress {
	/** The package that it is in the middle of. */
	readonly reading: object | null;
	/** Whether it has sent packages that are not answered. */
	readonly isOwed: boolean;
}

/** Somebody who waits for others to let go. */
export interface Waiting {
	readonly connection: ConnectionBytes;
	readonly progress: Progress;
	readonly wake: () => void;
}

/** What one connection holds. */
export class ConnectionBytes {
	/** Bytes held now. */
	total = 0;
	/** The chunk that is being read. */
	chunk: HeldChunk;
	readonly #all: HeldBytes;
	readonly #most: number;
	#wake: (() => void) | null = null;

	/** @param most - The mark. */
	constructor(all: HeldBytes, most: number) {
		this.#all = all;
		this.#most = most;
		this.chunk = new HeldChunk(this, 0);
	}

	/** A chunk was read. It is held as soon as somebody keeps a part of it. */
	receive(chunk: Uint8Array): void {
		this.chunk = new HeldChunk(this, chunk.length);
	}

	/** @param bytes - How many more are held; fewer if it is negative. */
	add(bytes: number): void {
		this.total += bytes;
		this.#all.add(bytes);
		if (bytes < 0) this.#wake?.();
	}

	/** Nothing if the connection may read on, else a promise: ask again when it has resolved. */
	room(progress: Progress): Promise<void> | undefined {
		const isOverOwn = progress.isOwed && this.total > this.#most;
		if (!isOverOwn && this.#all.mayRead(this, progress)) return undefined;
		return new Promise((resolve) => {
			const wake = () => {
				this.#wake = null;
				this.#all.leave(waiting);
				resolve();
			};
			const waiting = { connection: this, progress, wake };
			if (!isOverOwn) this.#all.wait(waiting);
			this.#wake = wake;
		});
	}

	/** The connection has ended. */
	end(): void {
		this.#wake?.();
		this.#all.giveUp(this);
	}
}

/** A chunk, held as long as somebody keeps a part of it. */
export class HeldChunk {
	readonly #connection: ConnectionBytes;
	readonly #length: number;
	#keepers = 0;

	constructor(connection: ConnectionBytes, length: number) {
		this.#connection = connection;
		this.#length = length;
	}

	keep(): void {
		if (this.#keepers++ === 0) this.#connection.add(this.#length);
	}

	letGo(): void {
		if (--this.#keepers === 0) this.#connection.add(-this.#length);
	}
}

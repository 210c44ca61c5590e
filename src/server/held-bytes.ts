/**
 * The bytes that a server holds in memory for its clients, and the marks beyond which it does not read on: one of each
 * connection, one of all.
 *
 * A connection over its mark waits while it is owed answers: they will come. Over the mark of all, who holds next to
 * nothing reads on, so that small mail goes through whatever the others do; and of the others one at a time, until its
 * package is answered or its turn is over, so that packages which are held because they are not complete yet do not
 * wait for each other for ever.
 */

/** What all connections of a server hold. */
export class HeldBytes {
	/** Bytes held now. */
	total = 0;
	readonly #most: number;
	readonly #waiting = new Set<Waiting>();
	#turn: ConnectionBytes | null = null; // whose turn it is to read on over the mark
	#package: object | null = null; // the package for which it may; null: whichever comes next
	#turnBegan = 0;
	#now = 0;

	/** @param most - The mark. */
	constructor(most: number) {
		this.#most = most;
	}

	/** Whether there are more than the mark. */
	get isOver(): boolean {
		return this.total > this.#most;
	}

	/** @param bytes - How many more are held; fewer if it is negative. */
	add(bytes: number): void {
		this.total += bytes;
		if (bytes < 0 && this.#waiting.size > 0 && !this.isOver) this.#wakeAll();
	}

	/** Whether a connection may read on. If it is nobody's turn, it is this one's from now on. */
	admit(connection: ConnectionBytes, { reading, isOwed }: Progress): boolean {
		if (!this.isOver || connection.total < RESERVE) return true;
		if (this.#turn === null) this.#giveTurn(connection, reading);
		if (this.#turn !== connection) return false;
		this.#package ??= reading;
		return this.#package === reading && !(reading === null && isOwed);
	}

	/** Somebody waits for others to let go, or for its turn. */
	wait(waiting: Waiting): void {
		this.#waiting.add(waiting);
	}

	/** It waits no more. */
	leave(waiting: Waiting): void {
		this.#waiting.delete(waiting);
	}

	/** A connection's package is answered: if it was the one for which it read on, its turn is over. */
	answered(connection: ConnectionBytes, answered: object): void {
		if (this.#turn !== connection) return;
		if (this.#package === null || this.#package === answered) this.endTurn(connection);
	}

	/**
	 * Looks at the clock: a turn is over after a second if somebody waits for one, whether its connection has sent nothing,
	 * or little by little, or the queue is slow. Far over the mark turns are longer, since each may hold one message more.
	 */
	check(now: number): void {
		this.#now = now;
		if (this.#turn === null || this.#waiting.size === 0) return;
		const longest = this.total < 2 * this.#most ? TURN_MS : 10 * TURN_MS;
		if (now - this.#turnBegan > longest) this.endTurn(this.#turn);
	}

	/** If it is this connection's turn, it is the next one's now: first those in the middle of a package. */
	endTurn(connection: ConnectionBytes): void {
		if (this.#turn !== connection) return;
		this.#turn = null;
		const all = [...this.#waiting];
		const next = all.find(({ progress }) => progress.reading !== null) ?? all[0];
		if (next === undefined) return;
		this.#giveTurn(next.connection, next.progress.reading);
		this.#waiting.delete(next);
		next.wake();
	}

	#giveTurn(connection: ConnectionBytes, reading: object | null): void {
		this.#turn = connection;
		this.#package = reading;
		this.#turnBegan = this.#now;
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
	readonly #all: HeldBytes;
	readonly #most: number;
	#chunk = 0; // what the chunk that is being read takes, until somebody has counted it
	#wake: (() => void) | null = null;

	/** @param most - The mark. */
	constructor(all: HeldBytes, most: number) {
		this.#all = all;
		this.#most = most;
	}

	/** True if it may read on without asking for room. */
	get isFree(): boolean {
		return this.total <= this.#most && !this.#all.isOver;
	}

	/** A chunk of so many bytes was read. */
	receive(length: number): void {
		this.#chunk = length + CHUNK_OVERHEAD;
	}

	/**
	 * Somebody keeps a view of the chunk that is being read. A view pins its whole chunk: the first one is counted as that.
	 * @returns What it counts as.
	 */
	view(bytes: number): number {
		const counted = Math.max(bytes, this.#chunk);
		this.#chunk = 0;
		return counted;
	}

	/** @param bytes - How many more are held; fewer if it is negative. */
	add(bytes: number): void {
		this.total += bytes;
		this.#all.add(bytes);
		if (bytes < 0) this.wake();
	}

	/** Nothing if the connection may read on, else a promise: ask again when it has resolved. */
	room(progress: Progress): Promise<void> | undefined {
		const isOverOwn = progress.isOwed && this.total > this.#most;
		if (isOverOwn) this.#all.endTurn(this);
		else if (this.#all.admit(this, progress)) return undefined;
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

	/** Ends the wait for room. */
	wake(): void {
		this.#wake?.();
	}

	/** The connection reads no more packages. */
	end(): void {
		this.wake();
		this.#all.endTurn(this);
	}
}

// So much each connection may hold over the mark of all: one chunk, and what is in it.
const RESERVE = 64 * 1024;
const TURN_MS = 1000;
// A Buffer and what is behind it, measured as resident memory. Of bodies that come byte by byte it is most of what they take.
const CHUNK_OVERHEAD = 480;

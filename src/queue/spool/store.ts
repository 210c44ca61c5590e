/**
 * What a spool does with its database: each method is one operation in one transaction, so it happens whole or not at
 * all, whatever process dies and whoever else uses the spool.
 *
 * A message that is taken is one whose time comes when its lease runs out. So nothing has to be looked for after a
 * crash: what a dead process had comes by itself.
 */
import { EventEmitter } from "node:events";
import type { Bodies } from "./bodies.js";
import type { SpoolDatabase } from "./database.js";
import { DamagedRecord, type State } from "./state.js";
import { isPlaceOf, type Place, type Tables } from "./tables.js";

/** A message to be stored. */
export interface NewMessage {
	readonly id: string;
	readonly state: State;
	/** What LMDB keeps: its state, and the package, or the package without its body if that is in a file. */
	readonly record: Uint8Array;
}

/** A message of the spool. */
export interface StoredMessage {
	readonly id: string;
	readonly package: Uint8Array;
	readonly state: State;
}

/** Who holds messages, and until when. */
export interface Lease {
	readonly owner: string;
	/** In ms since 1970. */
	readonly until: number;
}

/** What became of an attempt. */
export interface Outcome {
	/** True if nobody is left. */
	readonly isLast: boolean;
	/** Which recipients, of all that the message had, are finished with, if somebody is left. */
	readonly finished: readonly number[];
	/** How many recipients the message had. */
	readonly recipients: number;
	/** When the others are tried again. */
	readonly nextAttempt: number;
}

/** The messages of a spool. */
export class SpoolStore {
	readonly bodies: Bodies;
	readonly #database: SpoolDatabase;
	readonly #events = new EventEmitter().setMaxListeners(0);

	constructor(database: SpoolDatabase, bodies: Bodies) {
		this.#database = database;
		database.onCommit = () => this.#events.emit("change");
		this.bodies = bodies;
	}

	/** Calls `listener` when something may have become due in this process. @returns What ends that. */
	onChange(listener: () => void): () => void {
		this.#events.on("change", listener);
		return () => this.#events.off("change", listener);
	}

	/** Stores a message. @returns False if there is one with its id, which stays: then `removePlace` is to be called. */
	insert({ id, state, record }: NewMessage): Promise<boolean> {
		// If the id is in use, a place in the schedule is left that belongs to no message: see `removePlace`.
		const put = (tables: Tables) => {
			tables.schedule.put(state.due, id);
			return tables.messages.insert(id, record);
		};
		if (state.file === undefined) return this.#database.add(put, record.length);
		return this.#database.write((tables) => {
			const isNew = put(tables).result === true;
			if (isNew) addToFiles(tables, state.size);
			return isNew;
		}, record.length);
	}

	/**
	 * Takes what has been due for longest, `most` messages at most.
	 *
	 * @param isOut - Says what the owner has already. Its lease has run out if the clock has leapt: it is prolonged.
	 * @returns Them, with the state they had before.
	 */
	async lease(
		most: number,
		now: number,
		{ owner, until, isOut }: Lease & { isOut(id: string): boolean },
	): Promise<StoredMessage[]> {
		return await this.#database.write((tables) => {
			const taken: StoredMessage[] = [];
			for (const [due, id] of tables.schedule.due(now, most)) {
				const message = readable(tables, id);
				if (message === undefined || !isPlaceOf(due, message.state.due)) {
					tables.schedule.remove(due, id); // of a message that is damaged, or gone, or had an id that was in use
					if (message !== undefined)
						tables.schedule.put(message.state.due, id); // it is there, as a rule
					else if (tables.messages.has(id)) tables.schedule.put(now + DAMAGED_PAUSE_MS, id);
					continue;
				}
				const { state } = message;
				if (state.lease === owner && isOut(id)) {
					replace(tables, id, { ...state, due: until }, state);
					continue;
				}
				const attempts = state.attempts + 1;
				replace(tables, id, { ...state, due: until, lease: owner, attempts }, state);
				taken.push(message);
			}
			return taken;
		});
	}

	/** Prolongs leases. Those of somebody else stay. */
	async renew(ids: readonly string[], { owner, until }: Lease): Promise<void> {
		await this.#database.write((tables) => {
			for (const id of ids) {
				const state = takenState(tables, id);
				if (state?.lease === owner) replace(tables, id, { ...state, due: until }, state);
			}
		});
	}

	/** Gives back messages that were taken and not looked at: as if that had not been. */
	async release(messages: readonly StoredMessage[], owner: string): Promise<void> {
		await this.#database.write((tables) => {
			for (const { id, state: before } of messages) {
				const state = takenState(tables, id);
				if (state?.lease !== owner) continue;
				const { lease: _, ...rest } = state;
				replace(tables, id, { ...rest, due: before.due, attempts: before.attempts }, state);
			}
		});
	}

	/** Notes what became of an attempt, and removes the message if nobody is left. */
	settle(id: string, owner: string, { finished, isLast, recipients, nextAttempt }: Outcome): Promise<void> {
		const settled = this.#database.write((tables) => {
			const state = tables.states.get(id); // there is one, since it was taken
			if (state === undefined) return undefined; // somebody else had it too, and was done before us
			if (isLast) return removeMessage(tables, id, state);
			const before = state.finished ?? NOBODY;
			const bits = Buffer.alloc(Math.max((recipients + 7) >> 3, before.length));
			bits.set(before);
			for (const index of finished) (bits[index >> 3] as number) |= 1 << (index & 7);
			if (remaining(recipients, bits).length === 0) return removeMessage(tables, id, state);
			const { lease, ...rest } = state;
			if (lease === owner) replace(tables, id, { ...rest, finished: bits, due: nextAttempt }, state);
			else tables.states.put(id, { ...state, finished: bits });
			return undefined;
		});
		return settled.then((file) => (file === undefined ? undefined : this.bodies.remove(file)));
	}

	/**
	 * Makes a message due.
	 *
	 * @returns What it was: `"gone"` if there is none with that id, `"taken"` if somebody has it, who keeps it.
	 */
	async retry(id: string, now: number): Promise<Change> {
		const change = await this.#database.write((tables): Change => {
			const state = find(tables, id)?.state;
			if (state === undefined) return "gone";
			if (isTaken(state, now)) return "taken";
			const { lease: _, ...rest } = state;
			replace(tables, id, { ...rest, due: Math.min(now, state.due) }, state);
			return "done";
		});
		return change;
	}

	/** Removes a message, unless somebody has it. */
	async remove(id: string, now: number): Promise<Change> {
		let file: string | undefined;
		const change = await this.#database.write((tables): Change => {
			const state = readable(tables, id)?.state;
			if (state === undefined) return removeDamaged(tables, id);
			if (isTaken(state, now)) return "taken";
			file = removeMessage(tables, id, state);
			return "done";
		});
		if (file !== undefined) await this.bodies.remove(file);
		return change;
	}

	/** When the next message is due, in ms since 1970. Infinity if there is none. */
	nextDue(): number {
		return this.#database.tables.schedule.first();
	}

	/** The message of that id. */
	find(id: string): StoredMessage | undefined {
		return find(this.#database.tables, id);
	}

	/** True if the message of that id has its body in the file of that name, or if nobody can say. */
	isNamed(id: string, file: string): boolean {
		if (id === "") return false; // LMDB knows no empty key
		const { tables } = this.#database;
		tables.messages.refresh();
		const message = readable(tables, id);
		return message === undefined ? tables.messages.has(id) : message.state.file === file;
	}

	/** Removes what the insert of a message has left whose id was in use. */
	async removePlace(id: string, due: number): Promise<void> {
		await this.#database.write((tables) => {
			const message = readable(tables, id);
			const isItsOwn = message === undefined ? tables.messages.has(id) : isPlaceOf(due, message.state.due);
			if (!isItsOwn) tables.schedule.remove(due, id);
		});
	}

	/** Some ids behind `after`, those that are due first coming first. */
	ids(after: Place | null, most: number): Place[] {
		return this.#database.tables.schedule.behind(after, most);
	}

	/** How many messages there are. */
	count(): number {
		return this.#database.tables.messages.count;
	}

	/** How many of them are due. */
	countDue(now: number): number {
		return this.#database.tables.schedule.countDue(now);
	}

	/** The bytes that the messages take, in the database and beside it. */
	usedBytes(): number {
		const { tables } = this.#database;
		return tables.usedBytes + (tables.totals.get(FILES) ?? 0);
	}

	/** Closes the database. */
	close(): Promise<void> {
		return this.#database.close();
	}
}

/** What a change of one message came to. */
export type Change = "done" | "gone" | "taken";

/** True if somebody has the message. */
export function isTaken({ lease, due }: State, now: number): boolean {
	return lease !== undefined && due > now;
}

/** The numbers of the recipients who are left. */
export function remaining(recipients: number, finished: Uint8Array | undefined): number[] {
	const all = Array.from({ length: recipients }, (_, index) => index);
	if (finished === undefined) return all;
	return all.filter((index) => ((finished[index >> 3] as number) & (1 << (index & 7))) === 0);
}

function find({ messages, states }: Tables, id: string): StoredMessage | undefined {
	const message = messages.get(id);
	if (message === undefined) return undefined;
	return { id, state: states.get(id) ?? message.state, package: message.package };
}

/** A message; undefined if it is damaged, or was removed when it was. */
function readable(tables: Tables, id: string): StoredMessage | undefined {
	return unlessDamaged(() => find(tables, id));
}

/** The state of a message that was taken; undefined if it is damaged, or gone. */
function takenState({ states }: Tables, id: string): State | undefined {
	return unlessDamaged(() => states.get(id));
}

function unlessDamaged<T>(read: () => T): T | undefined {
	try {
		return read();
	} catch (error) {
		if (error instanceof DamagedRecord) return undefined;
		throw error;
	}
}

function replace({ states, schedule }: Tables, id: string, state: State, before: State): void {
	schedule.remove(before.due, id);
	schedule.put(state.due, id);
	states.put(id, state);
}

/** @returns The file that is left to be removed. */
function removeMessage(tables: Tables, id: string, { due, file, size }: State): string | undefined {
	tables.schedule.remove(due, id);
	tables.states.remove(id);
	tables.messages.remove(id);
	if (file !== undefined) addToFiles(tables, -size);
	return file;
}

/** Its place in the schedule is found when its time comes, and a file of its when the spool is opened. */
function removeDamaged({ states, messages }: Tables, id: string): Change {
	if (!messages.has(id)) return "gone";
	states.remove(id);
	messages.remove(id);
	return "done";
}

function addToFiles({ totals }: Tables, bytes: number): void {
	totals.put(FILES, (totals.get(FILES) ?? 0) + bytes);
}

const FILES = "files";
const NOBODY = new Uint8Array(0);
const DAMAGED_PAUSE_MS = 60 * 60 * 1000; // nobody can deliver it, and it must not stand in front of the others for ever

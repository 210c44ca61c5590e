/**
 * What a spool knows of a message, as LMDB keeps it: a record of our own. lmdb's msgpack, and its keys of strings and
 * arrays, took 1.7 us more for each message that is stored, of 8.9 that LMDB takes in all.
 */

/** What is known of a message, under its id. */
export interface State {
	/** When it was stored, in ms since 1970. */
	readonly queuedAt: number;
	/** The bytes of its body. */
	readonly size: number;
	/** Where the body is, or belongs, in its package. */
	readonly bodyAt: number;
	/** True if its addresses are Latin-1 and not UTF-8. */
	readonly latin1?: true;
	/** The file that holds its body, which its package leaves out. */
	readonly file?: string;
	/** When it is for whoever takes it: the time of the next attempt, or when the lease runs out. */
	readonly due: number;
	/** Attempts that were begun. */
	readonly attempts: number;
	/** Who has it. Void from `due` on. */
	readonly lease?: string;
	/** One bit for each recipient that is finished with, lowest bit first. */
	readonly finished?: Uint8Array;
}

/** What is in the database cannot be read. Nothing was written yet when it is thrown. */
export class DamagedRecord extends Error {}

/** The record of a state. */
export function encodeState(state: State): Uint8Array {
	const bytes = Buffer.allocUnsafe(stateSize(state));
	writeState(bytes, 0, state);
	return bytes;
}

/**
 * How many bytes stand before the package in the record of a message that has come.
 *
 * @param file - The file that holds its body, if one does.
 */
export function frontSize(file = ""): number {
	return STATE_AT + TEXTS_AT + file.length;
}

/** Writes them: the state of a message that has come, which nobody has taken yet. */
export function writeFront(record: Uint8Array, state: State): void {
	const bytes = asBuffer(record);
	bytes.writeUInt16LE(stateSize(state), 0);
	writeState(bytes, STATE_AT, state);
}

/** What the record of a message holds, of which it keeps views. @throws DamagedRecord as `decodeState`. */
export function decodeMessage(record: Uint8Array): { readonly state: State; readonly package: Uint8Array } {
	const [low = 0, high = 0] = record;
	const end = STATE_AT + low + 256 * high;
	return { state: decodeState(record.subarray(STATE_AT, end)), package: record.subarray(end) };
}

/** The state that a record holds, of which it keeps views. @throws DamagedRecord if this version does not make such. */
export function decodeState(record: Uint8Array): State {
	const bytes = asBuffer(record);
	const fileAt = TEXTS_AT + (bytes[2] ?? 0);
	const finishedAt = fileAt + (bytes[3] ?? 0);
	const isWhole =
		bytes[0] === VERSION && finishedAt <= bytes.length && Number.isFinite(bytes.readDoubleLE(20));
	if (!isWhole) throw new DamagedRecord("its record is damaged, or was made by another version of qmtp");
	const state: Writable<State> = {
		queuedAt: bytes.readDoubleLE(12),
		size: bytes.readDoubleLE(28),
		bodyAt: bytes.readUInt32LE(4),
		due: bytes.readDoubleLE(20),
		attempts: bytes.readUInt32LE(8),
	};
	if (((bytes[1] as number) & LATIN1) !== 0) state.latin1 = true;
	if (fileAt > TEXTS_AT) state.lease = bytes.toString("latin1", TEXTS_AT, fileAt);
	if (finishedAt > fileAt) state.file = bytes.toString("latin1", fileAt, finishedAt);
	if (bytes.length > finishedAt) state.finished = bytes.subarray(finishedAt);
	return state;
}

type Writable<T> = { -readonly [Key in keyof T]: T[Key] };

function asBuffer(bytes: Uint8Array): Buffer {
	return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
}

function stateSize({ lease = "", file = "", finished = NOTHING }: State): number {
	return TEXTS_AT + lease.length + file.length + finished.length;
}

function writeState(bytes: Buffer, at: number, state: State): void {
	const { lease = "", file = "", finished = NOTHING } = state;
	bytes[at] = VERSION;
	bytes[at + 1] = state.latin1 === true ? LATIN1 : 0;
	bytes[at + 2] = lease.length;
	bytes[at + 3] = file.length;
	bytes.writeUInt32LE(state.bodyAt, at + 4);
	bytes.writeUInt32LE(Math.min(state.attempts, MOST_ATTEMPTS), at + 8);
	bytes.writeDoubleLE(state.queuedAt, at + 12);
	bytes.writeDoubleLE(state.due, at + 20);
	bytes.writeDoubleLE(state.size, at + 28);
	const textsAt = at + TEXTS_AT;
	if (lease !== "") bytes.write(lease, textsAt, "latin1");
	if (file !== "") bytes.write(file, textsAt + lease.length, "latin1");
	if (finished.length > 0) bytes.set(finished, textsAt + lease.length + file.length);
}

const VERSION = 1;
const LATIN1 = 1; // a flag
const MOST_ATTEMPTS = 2 ** 32 - 1;
const TEXTS_AT = 36;
const STATE_AT = 2; // of a message's record: behind the length of its state
const NOTHING = new Uint8Array(0);

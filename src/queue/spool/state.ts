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
	const { lease = "", file = "", finished = NOTHING } = state;
	const bytes = Buffer.allocUnsafe(TEXTS_AT + lease.length + file.length + finished.length);
	bytes[0] = VERSION;
	bytes[1] = state.latin1 === true ? LATIN1 : 0;
	bytes[2] = lease.length;
	bytes[3] = file.length;
	bytes.writeUInt32LE(state.bodyAt, 4);
	bytes.writeUInt32LE(state.attempts, 8);
	bytes.writeDoubleLE(state.queuedAt, 12);
	bytes.writeDoubleLE(state.due, 20);
	bytes.writeDoubleLE(state.size, 28);
	bytes.write(lease, TEXTS_AT, "latin1");
	bytes.write(file, TEXTS_AT + lease.length, "latin1");
	bytes.set(finished, TEXTS_AT + lease.length + file.length);
	return bytes;
}

/** The state that a record holds, of which it keeps views. @throws DamagedRecord if this version does not make such. */
export function decodeState(record: Uint8Array): State {
	const bytes = Buffer.from(record.buffer, record.byteOffset, record.length);
	const [version, flags = 0, leaseLength = 0, fileLength = 0] = bytes;
	const fileAt = TEXTS_AT + leaseLength;
	const finishedAt = fileAt + fileLength;
	if (version !== VERSION || finishedAt > bytes.length) {
		throw new DamagedRecord("its record is damaged, or was made by another version of qmtp");
	}
	return {
		queuedAt: bytes.readDoubleLE(12),
		size: bytes.readDoubleLE(28),
		bodyAt: bytes.readUInt32LE(4),
		...((flags & LATIN1) === 0 ? {} : { latin1: true }),
		...(fileLength === 0 ? {} : { file: bytes.toString("latin1", fileAt, finishedAt) }),
		due: bytes.readDoubleLE(20),
		attempts: bytes.readUInt32LE(8),
		...(leaseLength === 0 ? {} : { lease: bytes.toString("latin1", TEXTS_AT, fileAt) }),
		...(finishedAt === bytes.length ? {} : { finished: bytes.subarray(finishedAt) }),
	};
}

const VERSION = 1;
const LATIN1 = 1; // a flag
const TEXTS_AT = 36;
const NOTHING = new Uint8Array(0);

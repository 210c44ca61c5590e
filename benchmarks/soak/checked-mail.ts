/**
 * Messages that tell by themselves whether they are whole: the first lines of a body name the message and hold its
 * length and checksum. What stands above them in a file, Received fields and the like, does not matter.
 */
import { createHash } from "node:crypto";
import type { Random } from "./random.js";

/** What the bytes of a stored message say. */
export interface CheckedMail {
	readonly id: string;
	/** False if bytes are missing, were added, or are others. */
	readonly whole: boolean;
}

/** A body called `id` with `size` bytes below its header. @param id - Without blanks. */
export function checkedBody(id: string, size: number, random: Random): Buffer {
	const from = random.between(0, NOISE.length - 1);
	const parts: Buffer[] = [];
	for (let left = size, at = from; left > 0; at = 0) {
		const part = NOISE.subarray(at, at + left);
		parts.push(part);
		left -= part.length;
	}
	const text = Buffer.concat(parts);
	return Buffer.concat([Buffer.from(`${FIELD} ${id} ${size} ${sumOf(text)}\n\n`), text]);
}

/** What a stored message says, or null if it is no such message. */
export function readChecked(file: Buffer): CheckedMail | null {
	const start = file.indexOf(FIELD);
	const end = file.indexOf("\n\n", start);
	const [, id = "", size, sum] = file.toString("latin1", start, end).split(" ");
	if (start === -1 || end === -1 || sum === undefined) return null;
	const text = file.subarray(end + 2);
	return { id, whole: text.length === Number(size) && sumOf(text) === sum };
}

function sumOf(bytes: Buffer): string {
	return createHash("sha1").update(bytes).digest("hex");
}

const FIELD = "X-Checked:";

/** All bytes there are, but CR, which a queue may take for a part of a line end. */
const NOISE = Buffer.alloc(1024 * 1024 + 7);
for (let index = 0, state = 1; index < NOISE.length; index++) {
	state = (state * 16807) % 2147483647;
	const byte = (state >> 8) & 0xff;
	NOISE[index] = byte === 0x0d ? 0x0a : byte;
}

/**
 * Reading one version of a file whole: its bytes, and by what to know that it is still that version.
 *
 * It never waits for anything but the disk: a fifo is opened without blocking, and refused.
 */
import { type BigIntStats, constants } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { UsageError } from "../errors.js";

/** One version of a file, as it was read. */
export interface FileVersion {
	/** All bytes, a copy that nobody else has. */
	readonly bytes: Buffer;
	/** Its {@link versionOf}. */
	readonly version: string;
	/**
	 * Whether it changed within the last two seconds before it was read. Another change within the same tick of the file
	 * system's clock would look the same: ticks are 10 ms at most on Linux, 2 s on FAT.
	 */
	readonly young: boolean;
}

/** What is not the same for two versions of a file, nor for two files. */
export function versionOf({ dev, ino, size, mtimeNs, ctimeNs }: BigIntStats): string {
	return `${dev} ${ino} ${size} ${mtimeNs} ${ctimeNs}`;
}

/**
 * Reads a file.
 *
 * @throws UsageError `ERR_QMTP_CONTROL` if it is no regular file, larger than `maxBytes`, or changes again and again
 *   while it is read; the system's error if it cannot be read.
 */
export async function readVersion(path: string, maxBytes: number): Promise<FileVersion> {
	for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
		const read = await readOnce(path, maxBytes);
		if (read !== null) return read;
	}
	throw new UsageError("ERR_QMTP_CONTROL", "changes while it is read");
}

/** @throws UsageError `ERR_QMTP_CONTROL` for what is no regular file: it may have no end, or none to wait for. */
export function onlyRegular(stats: BigIntStats): void {
	if (!stats.isFile()) throw new UsageError("ERR_QMTP_CONTROL", "is no regular file");
}

/** Null if the file changed meanwhile. */
async function readOnce(path: string, maxBytes: number): Promise<FileVersion | null> {
	// O_NONBLOCK, which Windows does not have, in case the file has become a fifo since somebody looked.
	const file = await open(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0));
	try {
		return await readOpen(file, maxBytes);
	} finally {
		await file.close();
	}
}

async function readOpen(file: FileHandle, maxBytes: number): Promise<FileVersion | null> {
	const now = Date.now();
	const stats = await file.stat({ bigint: true });
	onlyRegular(stats);
	const size = Number(stats.size);
	if (size > maxBytes) {
		throw new UsageError("ERR_QMTP_CONTROL", `has ${size} bytes, more than the ${maxBytes} allowed`);
	}
	const bytes = Buffer.allocUnsafeSlow(size + 1); // one more than there should be, to see whether there is
	let filled = 0;
	for (;;) {
		const { bytesRead } = await file.read(bytes, filled, bytes.length - filled, filled);
		filled += bytesRead;
		if (bytesRead === 0 || filled > size) break;
	}
	const version = versionOf(stats);
	if (filled !== size || versionOf(await file.stat({ bigint: true })) !== version) return null;
	// The time of the last change, unlike that of the last modification, cannot be set to an earlier one.
	const young = now - Number(stats.ctimeNs / 1_000_000n) < YOUNG;
	return { bytes: bytes.subarray(0, size), version, young };
}

const ATTEMPTS = 3;
const YOUNG = 2000; // milliseconds

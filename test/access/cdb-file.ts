/** Makes cdb files, good ones and such as no program writes. */

export type Pair = readonly [key: string, data: string];

/** A cdb as cdbmake writes it: twice as many slots as records, tables in order. Strings are Latin-1. */
export function cdbOf(pairs: Iterable<Pair>, slotsFor: (records: number) => number = (n) => 2 * n): Buffer {
	const parts: Buffer[] = [Buffer.alloc(2048)];
	const tables: [hash: number, position: number][][] = Array.from({ length: 256 }, () => []);
	let at = 2048;
	for (const [key, data] of pairs) {
		const record = Buffer.alloc(8 + key.length + data.length);
		record.writeUInt32LE(key.length, 0);
		record.writeUInt32LE(data.length, 4);
		record.write(key, 8, "latin1");
		record.write(data, 8 + key.length, "latin1");
		const hash = cdbHash(key);
		tables[hash & 255]?.push([hash, at]);
		parts.push(record);
		at += record.length;
	}
	tables.forEach((entries, number) => {
		const slots = slotsFor(entries.length);
		parts[0]?.writeUInt32LE(at, 8 * number);
		parts[0]?.writeUInt32LE(slots, 8 * number + 4);
		const table = Buffer.alloc(8 * slots);
		for (const [hash, position] of entries) {
			let slot = (hash >>> 8) % slots;
			while (table.readUInt32LE(8 * slot + 4) !== 0) slot = (slot + 1) % slots;
			table.writeUInt32LE(hash, 8 * slot);
			table.writeUInt32LE(position, 8 * slot + 4);
		}
		parts.push(table);
		at += table.length;
	});
	return Buffer.concat(parts);
}

export function cdbHash(key: string): number {
	let hash = 5381;
	for (const byte of Buffer.from(key, "latin1")) hash = (((hash * 33) % 2 ** 32) ^ byte) >>> 0;
	return hash;
}

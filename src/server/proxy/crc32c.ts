/** CRC-32C (Castagnoli): node:zlib has another polynomial. A header is short, so there is no table. */

/** Source: RFC 9260, appendix A */
export function crc32c(bytes: Uint8Array): number {
	let crc = 0xffffffff;
	for (const byte of bytes) {
		crc ^= byte;
		for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? REVERSED_POLYNOMIAL : 0);
	}
	return ~crc >>> 0;
}

const REVERSED_POLYNOMIAL = 0x82f63b78;

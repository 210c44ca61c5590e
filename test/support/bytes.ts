/** Bytes written as Latin-1 text: one character is one byte, so lengths can be read off the test. */

/** The bytes of a text whose characters are all below U+0100, in an array of their own. */
export function bytesOf(text: string): Uint8Array {
	const bytes = new Uint8Array(text.length);
	for (let index = 0; index < text.length; index++) {
		const character = text.charCodeAt(index);
		if (character > 0xff) throw new RangeError(`not Latin-1: ${text[index]}`);
		bytes[index] = character;
	}
	return bytes;
}

/** The text of some bytes. */
export function textOf(bytes: Uint8Array): string {
	return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("latin1");
}

/** A copy with a buffer of its own. */
export function copyOf(bytes: Uint8Array): Uint8Array {
	return new Uint8Array(bytes);
}

/** All pieces behind one another, in a new array. */
export function concat(pieces: Iterable<Uint8Array>): Uint8Array {
	return copyOf(Buffer.concat([...pieces]));
}

/** The netstring of a text, written down without the encoder under test. */
export function netstring(text: string): string {
	return `${text.length}:${text},`;
}

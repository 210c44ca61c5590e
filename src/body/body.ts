/** A body whose length is known, and that can be read more than once unless it says otherwise. */

/** Where the bytes of a message come from. */
export interface Body {
	/** In bytes. */
	readonly length: number;
	/** The whole of it, if it is in memory; null if not. */
	readonly bytes: Uint8Array | null;
	/** False if `chunks()` works only once. */
	readonly repeatable: boolean;
	/** The bytes from the beginning. It may yield more or fewer than `length` if its source does not keep its word. */
	chunks(): AsyncIterable<Uint8Array>;
	/** Lets go of what is held for it: a descriptor, a file. */
	close(): Promise<void>;
}

/** A body in memory. */
export function bytesBody(bytes: Uint8Array): Body {
	// Not a class: a copy of it with other properties must work, too.
	return { length: bytes.length, bytes, repeatable: true, chunks: chunksOfBytes, close: nothingToClose };
}

/** The chunks of a body, for somebody to whom they are to belong: of one in memory they are copies. */
export async function* ownChunks(body: Body): AsyncGenerator<Uint8Array> {
	for await (const chunk of body.chunks()) yield body.bytes === null ? chunk : new Uint8Array(chunk);
}

async function* chunksOfBytes(this: Body): AsyncGenerator<Uint8Array> {
	const bytes = this.bytes as Uint8Array;
	for (let at = 0; at < bytes.length; at += CHUNK_BYTES) yield bytes.subarray(at, at + CHUNK_BYTES);
}

async function nothingToClose(): Promise<void> {}

/** A body that is read once, from a source that promises `length` bytes and is let go of by whoever opened it. */
export function streamBody(source: AsyncIterable<Uint8Array>, length: number): Body {
	return { length, bytes: null, repeatable: false, chunks: () => source, close: async () => {} };
}

/** How much of a body is read at once. */
export const CHUNK_BYTES: number = 256 * 1024;

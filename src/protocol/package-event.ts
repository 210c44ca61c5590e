/** What a package consists of, event by event, in the order of the wire. */

/** How lines of a message end on the wire: LF (first byte of the message netstring LF) or CR LF (first byte CR). */
export type Encoding = "lf" | "crlf";

/** What a {@link PackageDecoder} came upon. */
export type PackageEvent = MessageEvent | BodyEvent | AddressEvent | EndEvent;

/** A message begins. */
export interface MessageEvent {
	/** Which event it is. */
	readonly type: "message";
	/** How its lines end on the wire. */
	readonly encoding: Encoding;
	/** The number of body bytes declared; the byte that tells the encoding is not counted. */
	readonly length: number;
}

/** Some of the body. */
export interface BodyEvent {
	/** Which event it is. */
	readonly type: "body";
	/** The bytes as sent: a view into the chunk, valid as long as the caller leaves the chunk alone. */
	readonly bytes: Uint8Array;
}

/** An address of the envelope. */
export interface AddressEvent {
	/** Which event it is. */
	readonly type: "sender" | "recipient";
	/** A copy, which belongs to the caller; null if it was over the limit and dropped. */
	readonly address: Uint8Array | null;
}

/** The last byte of the package was read. */
export interface EndEvent {
	/** Which event it is. */
	readonly type: "end";
}

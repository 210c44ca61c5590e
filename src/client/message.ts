/**
 * What the caller calls a message, as a body that can be sent: its length is known, and its lines end as they are to
 * end on the wire.
 *
 * What is in memory stays there, and is copied only if its line ends change. A file is read as often as needed. A
 * stream is spooled unless its size is known and its lines stay as they are.
 */
import { type Body, bytesBody, streamBody } from "../body/body.js";
import { fileBody, fileChunks, openBody } from "../body/file.js";
import { InputStream, isByteStream } from "../body/input.js";
import { DETECTION_BYTES, decodeLines, decodeLinesOf, detectEncoding } from "../body/line-ends.js";
import { spool } from "../body/spool.js";
import { UsageError } from "../errors.js";
import type { Encoding } from "../protocol/package-event.js";

/** A message: text (sent as UTF-8), bytes, a stream of bytes, the path of a file, or a body, which stays the caller's. */
export type Message =
	| string
	| Uint8Array
	| AsyncIterable<Uint8Array>
	| ReadableStream<Uint8Array>
	| MessageFile
	| Body;

/** A message in a file. */
export interface MessageFile {
	/** The path of a regular file. */
	readonly path: string;
}

/** How a message is to be read and sent. */
export interface MessageOptions {
	/** What to send. A stream is the client's from the call on: it reads it, or destroys or cancels it. */
	readonly message: Message;
	/**
	 * How many bytes a stream has, if that is known: it is then sent while it is read. Anything else is spooled first,
	 * in memory up to 1 MiB, then in a temporary file.
	 */
	readonly size?: number;
	/**
	 * How lines of the input end. Left out, its first line end within 64 KiB tells; `"lf"` if it has none, and for a body.
	 */
	readonly encoding?: Encoding;
	/**
	 * `"lf"`: CR LF becomes LF, which every server takes. `"as-is"`: the bytes as they are, announced as what they are.
	 * @defaultValue "lf"
	 */
	readonly transmit?: "lf" | "as-is";
}

/** A message ready to be sent. `encoding` is that of the wire. */
export interface PreparedMessage {
	readonly encoding: Encoding;
	readonly body: Body;
}

function isBody(message: Message): message is Body {
	return typeof message === "object" && message !== null && "chunks" in message && "repeatable" in message;
}

/** The stream of a message that is one; null for all others. */
export function messageInput(message: unknown): InputStream | null {
	return isByteStream(message) ? new InputStream(message) : null;
}

/**
 * Prepares a message: at once if it is in memory.
 *
 * @param input - Its {@link messageInput}. The caller releases it when the message is not needed any more.
 * @throws UsageError `ERR_QMTP_MESSAGE` for what is no message, `ERR_QMTP_MESSAGE_SOURCE` if it cannot be read.
 */
export function prepareMessage(
	options: MessageOptions,
	input: InputStream | null,
): PreparedMessage | Promise<PreparedMessage> {
	const { message, encoding, transmit = "lf", size } = options;
	if (encoding !== undefined && encoding !== "lf" && encoding !== "crlf") {
		throw new UsageError("ERR_QMTP_MESSAGE", `encoding must be "lf" or "crlf", not ${encoding}`);
	}
	if (transmit !== "lf" && transmit !== "as-is") {
		throw new UsageError("ERR_QMTP_MESSAGE", `transmit must be "lf" or "as-is", not ${transmit}`);
	}
	if (size !== undefined && (!Number.isSafeInteger(size) || size < 0)) {
		throw new UsageError("ERR_QMTP_MESSAGE", `size must be a whole number of bytes, not ${size}`);
	}
	if (typeof message === "string") return prepareBytes(Buffer.from(message, "utf8"), encoding, transmit);
	if (message instanceof Uint8Array) return prepareBytes(message, encoding, transmit);
	if (isBody(message)) return prepareBody(message, encoding ?? "lf", transmit);
	if (input !== null) return prepareStream(input, size, encoding, transmit).catch(throwSourceError);
	if (
		typeof message === "object" &&
		message !== null &&
		"path" in message &&
		typeof message.path === "string"
	) {
		return prepareFile(message.path, encoding, transmit).catch(throwSourceError);
	}
	throw new UsageError("ERR_QMTP_MESSAGE", "a message is a string, bytes, a stream, or { path }");
}

/** The error for a source that failed. */
export function sourceError(cause: unknown): UsageError {
	if (cause instanceof UsageError) return cause;
	const reason = cause instanceof Error ? cause.message : String(cause);
	return new UsageError("ERR_QMTP_MESSAGE_SOURCE", `the message cannot be read: ${reason}`, { cause });
}

function throwSourceError(cause: unknown): never {
	throw sourceError(cause);
}

type Transmit = "lf" | "as-is";

function prepareBytes(bytes: Uint8Array, given: Encoding | undefined, transmit: Transmit): PreparedMessage {
	const encoding = given ?? detectEncoding(bytes);
	if (encoding === "lf" || transmit === "as-is") return { encoding, body: bytesBody(bytes) };
	return { encoding: "lf", body: bytesBody(decodeLines(bytes)) };
}

async function prepareFile(
	path: string,
	given: Encoding | undefined,
	transmit: Transmit,
): Promise<PreparedMessage> {
	const { file, length } = await openBody(path);
	try {
		let encoding = given;
		if (encoding === undefined) {
			const head = Buffer.allocUnsafe(Math.min(length, DETECTION_BYTES));
			const { bytesRead } = await file.read(head, 0, head.length, 0);
			encoding = detectEncoding(head.subarray(0, bytesRead));
		}
		const body = fileBody(file, length);
		if (encoding === "lf" || transmit === "as-is") return { encoding, body };
		// Converted twice, once to count and once to send, rather than stored twice.
		let decodedLength = 0;
		for await (const chunk of decodeLinesOf(body.chunks())) decodedLength += chunk.length;
		const chunks = () => decodeLinesOf(fileChunks(file, length));
		return { encoding: "lf", body: { ...body, length: decodedLength, chunks } };
	} catch (error) {
		await file.close();
		throw error;
	}
}

function prepareBody(
	body: Body,
	encoding: Encoding,
	transmit: Transmit,
): PreparedMessage | Promise<PreparedMessage> {
	if (encoding === "crlf" && transmit === "lf") return decodedBody(body).catch(throwSourceError);
	const { length, bytes, repeatable } = body;
	return {
		encoding,
		body: { length, bytes, repeatable, chunks: () => body.chunks(), close: async () => {} },
	};
}

async function decodedBody(body: Body): Promise<PreparedMessage> {
	return { encoding: "lf", body: await spool(decodeLinesOf(counted(body.chunks(), body.length))) };
}

async function prepareStream(
	input: InputStream,
	size: number | undefined,
	given: Encoding | undefined,
	transmit: Transmit,
): Promise<PreparedMessage> {
	const { encoding, chunks } = given === undefined ? await peek(input) : { encoding: given, chunks: input };
	const source = size === undefined ? chunks : counted(chunks, size);
	if (encoding === "crlf" && transmit === "lf") {
		return { encoding: "lf", body: await spool(decodeLinesOf(source)) };
	}
	return { encoding, body: size === undefined ? await spool(source) : streamBody(source, size) };
}

/** Reads a stream as far as its first line end, and gives it back whole. */
async function peek(input: InputStream): Promise<{ encoding: Encoding; chunks: AsyncIterable<Uint8Array> }> {
	const read: Uint8Array[] = [];
	let encoding: Encoding = "lf";
	for (let seen = 0, last = 0; seen < DETECTION_BYTES; ) {
		const { done, value } = await input.next();
		if (done) break;
		read.push(value);
		const lf = value.indexOf(LF);
		if (lf !== -1) {
			if (seen + lf < DETECTION_BYTES && (lf > 0 ? value[lf - 1] : last) === CR) encoding = "crlf";
			break;
		}
		seen += value.length;
		last = value.at(-1) ?? last;
	}
	return { encoding, chunks: rejoin(read, input) };
}

async function* rejoin(read: Uint8Array[], input: InputStream): AsyncGenerator<Uint8Array> {
	yield* read;
	yield* input;
}

/** Holds a source to the size that was announced for it. */
async function* counted(source: AsyncIterable<Uint8Array>, size: number): AsyncGenerator<Uint8Array> {
	let length = 0;
	for await (const chunk of source) {
		length += chunk.length;
		if (length > size) throw sizeError(length, size);
		yield chunk;
	}
	if (length < size) throw sizeError(length, size);
}

/** The error for a source that has not as many bytes as were announced. */
export function sizeError(length: number, size: number): UsageError {
	return new UsageError(
		"ERR_QMTP_MESSAGE_SIZE",
		`the message has ${length} bytes where ${size} were announced`,
	);
}

const LF = 0x0a;
const CR = 0x0d;

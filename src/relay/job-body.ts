/** The body of a job, as clients take it. */
import { type Body, bytesBody } from "../body/body.js";
import { ReceivedCounter } from "../body/received-counter.js";
import type { Job } from "../queue/source.js";

/** The body. A source that has it as one already gives that; else a small one is read into memory. */
export function jobBody({ body, size }: Job): Body | Promise<Body> {
	if (isBody(body)) return body;
	if (size <= LARGEST_HELD) return readBody(body);
	return { length: size, bytes: null, repeatable: true, chunks: () => body, close: async () => {} };
}

/** Whether it has more Received fields than `most`. */
export function loops(body: Body, most: number): boolean | Promise<boolean> {
	if (body.bytes === null) return loopsInChunks(body, most);
	const counter = new ReceivedCounter();
	counter.write(body.bytes);
	return counter.count > most;
}

/** The bytes of memory that a job takes. */
export function heldBytes({ size }: Job): number {
	return Math.min(size, LARGEST_HELD);
}

async function loopsInChunks(body: Body, most: number): Promise<boolean> {
	const counter = new ReceivedCounter();
	for await (const chunk of body.chunks()) {
		counter.write(chunk);
		if (counter.ended || counter.count > most) break;
	}
	return counter.count > most;
}

async function readBody(source: AsyncIterable<Uint8Array>): Promise<Body> {
	const chunks: Uint8Array[] = [];
	for await (const chunk of source) chunks.push(chunk);
	return bytesBody(Buffer.concat(chunks));
}

function isBody(body: AsyncIterable<Uint8Array> & Partial<Body>): body is AsyncIterable<Uint8Array> & Body {
	return typeof body.chunks === "function" && body.repeatable === true;
}

const LARGEST_HELD = 256 * 1024;

/** Connections without a network: a pair of Duplex streams, and a pair of Web Streams that talks to a Duplex. */
import { Duplex } from "node:stream";
import type { WebStreamPair } from "../../src/server/transport.js";

/** Two ends of one connection in memory. What one writes the other reads, chunk by chunk, with backpressure. */
export function duplexPair(highWaterMark = 16 * 1024): [Duplex, Duplex] {
	const left = new End(highWaterMark);
	const right = new End(highWaterMark);
	left.peer = right;
	right.peer = left;
	return [left, right];
}

class End extends Duplex {
	peer!: End;
	#taken: ((error?: Error | null) => void) | null = null; // the write of our peer that waits for us to read

	constructor(highWaterMark: number) {
		super({ highWaterMark, allowHalfOpen: true });
	}

	override _read(): void {
		this.#release(null);
	}

	override _write(chunk: Buffer, _encoding: string, callback: (error?: Error | null) => void): void {
		const { peer } = this;
		if (peer.destroyed) callback(new Error("write to a connection whose other end is gone"));
		else if (peer.push(chunk)) callback();
		else peer.#taken = callback;
	}

	override _final(callback: (error?: Error | null) => void): void {
		if (!this.peer.destroyed) this.peer.push(null);
		callback();
	}

	override _destroy(error: Error | null, callback: (error: Error | null) => void): void {
		this.#release(new Error("the other end is gone"));
		const { peer } = this;
		if (!peer.destroyed && !this.writableFinished) {
			if (error === null) peer.push(null);
			else peer.destroy(new Error(`the other end broke: ${error.message}`));
		}
		callback(error);
	}

	#release(error: Error | null): void {
		const taken = this.#taken;
		this.#taken = null;
		taken?.(error);
	}
}

/** A pair of Web Streams for a server, and the Duplex of its client. */
export function webPair(): [WebStreamPair, Duplex] {
	const up = new TransformStream<Uint8Array, Uint8Array>();
	const down = new TransformStream<Uint8Array, Uint8Array>();
	const client = Duplex.fromWeb({ readable: down.readable, writable: up.writable });
	return [{ readable: up.readable, writable: down.writable }, client];
}

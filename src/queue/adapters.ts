/**
 * A `Delivery` as a `WritableStream` and back, for what speaks Web Streams: `body.pipeTo(deliveryWritable(...))` puts a
 * stream into a queue, and `writableDelivery(...)` lets a stream's sink be one.
 */
import type { Envelope } from "../protocol/envelope.js";
import type { QmtpResponse } from "../protocol/response.js";
import type { Delivery } from "./queue.js";

/**
 * A stream that writes into a delivery, with the delivery's backpressure. Closing it commits, aborting it aborts, and
 * so does a write that fails. The delivery is the stream's from now on; so are the chunks written to it.
 *
 * @param envelope - Called when the stream is closed: the envelope comes after the body.
 * @param onResponses - Called with the responses when the commit has resolved, before the stream's close does.
 * @returns A stream whose close rejects if the commit did, or if one of the functions throws. A throw of `envelope`
 * aborts the delivery.
 */
export function deliveryWritable(
	delivery: Delivery,
	envelope: () => Envelope | Promise<Envelope>,
	onResponses?: (responses: readonly QmtpResponse[]) => void,
): WritableStream<Uint8Array> {
	// A stream does not call its sink's abort() when write() fails: it takes for granted that the sink knows.
	const abortOnError = async <T>(step: () => T | Promise<T>): Promise<T> => {
		try {
			return await step();
		} catch (error) {
			await delivery.abort(toError(error));
			throw error;
		}
	};
	return new WritableStream<Uint8Array>({
		write: (chunk) => abortOnError(() => delivery.write(chunk)),
		close: async () => {
			const responses = await delivery.commit(await abortOnError(envelope));
			onResponses?.(responses);
		},
		abort: (reason) => delivery.abort(toError(reason)),
	});
}

/**
 * A delivery that writes into a stream, with the stream's backpressure. A commit closes the stream, waits until its
 * sink has taken all, and then asks `commit` for the responses; an abort aborts the stream. The stream is the
 * delivery's from now on.
 *
 * @param commit - Must keep to the contract of {@link Delivery.commit}: it throws only if nothing was stored.
 * @throws TypeError if the stream is locked.
 */
export function writableDelivery(
	writable: WritableStream<Uint8Array>,
	commit: (envelope: Envelope) => readonly QmtpResponse[] | Promise<readonly QmtpResponse[]>,
): Delivery {
	const writer = writable.getWriter();
	writer.closed.catch(ignore); // each failure is also told by a write, the close or the abort
	return {
		write(bytes) {
			const written = writer.write(bytes);
			if ((writer.desiredSize ?? 0) <= 0) return written;
			written.catch(ignore); // the next write fails, or the close
		},
		async commit(envelope) {
			await writer.close();
			return await commit(envelope);
		},
		async abort(reason) {
			await writer.abort(reason);
		},
	};
}

function toError(reason: unknown): Error {
	return reason instanceof Error ? reason : new Error("the stream was aborted", { cause: reason });
}

function ignore(): void {}

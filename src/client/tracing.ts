/**
 * The channel `qmtp:client:send`, by which tracers hear of each call of `send`. Without one it costs a look at the
 * channel.
 */
import { type TracingChannel, tracingChannel } from "node:diagnostics_channel";
import type { Envelope } from "../protocol/envelope.js";
import type { SendResult } from "./result.js";

/**
 * What subscribers of the tracing channel `qmtp:client:send` get: one object for each call of `send`, the same at all
 * of its events.
 */
export interface SendTrace {
	/** The server's name or address, as the client's options have it. */
	readonly host: string;
	/** The server's port. */
	readonly port: number;
	/** The envelope, as the caller gave it. It was not checked before `start`. */
	readonly mail: Envelope;
	/** What became of the mail, from `asyncStart` on. A Z or D is a result, and no error. */
	readonly result?: SendResult;
	/** What the call was rejected with, from `error` on. */
	readonly error?: unknown;
}

/** Where `send` is told. */
export const SEND_CHANNEL: TracingChannel<unknown, SendTrace> = tracingChannel("qmtp:client:send");

/**
 * One AMQP connection, from its making to its end. Everything that may hang has a deadline, at which the socket is
 * destroyed: by the signal that Node's sockets take, since amqplib has no way to that.
 */
import type { ConnectionOptions } from "node:tls";
import type { ChannelModel } from "amqplib";
import { loadAmqplib, OpeningGuard } from "./amqplib.js";
import { textOf } from "./fault.js";
import type { BrokerAddress } from "./url.js";

/** How a link is made. */
export interface LinkSettings {
	/** What the broker shows of it. */
	readonly name: string;
	readonly tls: ConnectionOptions;
	/** Sets up what the connection needs. */
	readonly begin: (model: ChannelModel) => Promise<void>;
	/** Ends the making. */
	readonly signal: AbortSignal;
}

/** One connection. */
export class Link {
	readonly model: ChannelModel;
	readonly #socket: AbortController;
	#error: Error | null = null; // why it ended, or is about to
	#ended = false;
	#closing = false;
	#deadline: NodeJS.Timeout | null = null;
	#onEnd: ((error: Error) => void) | null = null;
	#onClosed: (() => void) | null = null;

	private constructor(model: ChannelModel, socket: AbortController) {
		this.model = model;
		this.#socket = socket;
		model.on("error", (error) => {
			this.#error ??= error; // it is told with "close", which follows when the broker answers
			this.#deadline ??= setTimeout(() => this.#socket.abort(), CLOSE_MS);
		});
		model.on("close", (error) => this.#end(error));
	}

	/** Makes one. @throws Error if that fails; UsageError `ERR_QMTP_PACKAGE`. */
	static async open(address: BrokerAddress, { name, tls, begin, signal }: LinkSettings): Promise<Link> {
		const { connect } = loadAmqplib();
		const { secure, host: hostname, port } = address;
		const guard = new OpeningGuard(address.user, address.password);
		const vhost = encodeURIComponent(address.vhost); // amqplib decodes it
		const socket = new AbortController();
		const url = { protocol: secure ? "amqps" : "amqp", hostname, port, vhost };
		const socketOptions = {
			...(secure ? tls : {}),
			timeout: 0, // the deadlines below are for all that it does, this is not
			noDelay: true,
			signal: socket.signal,
			clientProperties: { connection_name: name },
			credentials: guard.credentials,
		};
		const tuning = { heartbeat: HEARTBEAT_S, frameMax: LARGEST_FRAME, maxFrameSize: LARGEST_FRAME };
		const made = connect({ ...url, ...tuning }, socketOptions);
		const model = await within(CONNECT_MS, made, { socket, signal });
		const link = new Link(model, socket);
		try {
			guard.check();
			if (guard.error === null) await within(BEGIN_MS, begin(model), { socket, signal });
			const error = guard.error ?? link.#error;
			if (error !== null) throw error;
			return link;
		} catch (error) {
			socket.abort();
			throw guard.error ?? error; // what broke the connection, rather than what then could not be done with it
		}
	}

	/** Calls `listener` when it has ended otherwise than by `close`. */
	onEnd(listener: (error: Error) => void): void {
		this.#onEnd = listener;
	}

	/** Ends it, gently if the broker answers. */
	async close(): Promise<void> {
		this.#closing = true;
		try {
			if (!this.#ended) {
				// amqplib's close never ends if the connection breaks meanwhile.
				const ended = new Promise<void>((resolve) => {
					this.#onClosed = resolve;
				});
				const closing = Promise.race([this.model.close(), ended]);
				await within(CLOSE_MS, closing, { socket: this.#socket, signal: NEVER });
			}
		} catch {
			// It is gone all the same.
		} finally {
			this.#socket.abort();
		}
	}

	#end(error: Error | undefined): void {
		if (this.#ended) return;
		this.#ended = true;
		if (this.#deadline !== null) clearTimeout(this.#deadline);
		this.#error ??= error ?? new Error("the broker closed the connection");
		this.#socket.abort(); // amqplib only ends it, which a dead peer does not answer
		this.#onClosed?.();
		if (!this.#closing) this.#onEnd?.(this.#error);
	}
}

/** Waits for `work`, which ends when the socket does. When its time is up, or `signal` is aborted, it is made to. */
async function within<T>(
	ms: number,
	work: Promise<T>,
	{ socket, signal }: { readonly socket: AbortController; readonly signal: AbortSignal },
): Promise<T> {
	const abort = () => socket.abort();
	let late = false;
	let deadline: NodeJS.Timeout | undefined;
	const lateness = new Promise<never>((_, reject) => {
		deadline = setTimeout(() => {
			late = true;
			abort();
			setImmediate(reject); // if the work does not end by that
		}, ms);
	});
	signal.addEventListener("abort", abort);
	if (signal.aborted) abort();
	try {
		return await Promise.race([work, lateness]);
	} catch (error) {
		if (late) throw new Error(`no answer within ${ms / 1000} s`);
		throw NOT_LET_IN.test(textOf(error))
			? new Error("no such vhost, or no right to it", { cause: error })
			: error;
	} finally {
		clearTimeout(deadline);
		signal.removeEventListener("abort", abort);
	}
}

// Silence is noticed after two to three of these.
const HEARTBEAT_S = 10;
const CONNECT_MS = 10_000;
// The first declaration of seven quorum queues takes a second; without a majority of the nodes it hangs.
const BEGIN_MS = 30_000;
const CLOSE_MS = 5000;
const LARGEST_FRAME = 131_072; // bytes, as RabbitMQ has it; amqplib would take 64 MiB
// All that amqplib says of it.
const NOT_LET_IN = /^Expected ConnectionOpenOk; got <ConnectionClose/;
const NEVER = new AbortController().signal;

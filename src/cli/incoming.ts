/** What comes over a socket, awaited piece by piece: each wait has a deadline, and nobody reads while nobody waits. */
import type { Socket } from "node:net";

/** What came: bytes, the end of the other side's input, the loss of the connection, or nothing until the deadline. */
export type Arrival =
	| { readonly type: "bytes"; readonly bytes: Uint8Array }
	| { readonly type: "end" }
	| { readonly type: "lost"; readonly reason: string }
	| { readonly type: "nothing" };

/** The incoming side of a connected socket. A loss is told after all that came before it. */
export class Incoming {
	readonly #socket: Socket;
	readonly #signal: AbortSignal;
	readonly #chunks: Uint8Array[] = [];
	#end: Arrival | null = null;
	#wake: (() => void) | null = null;

	/** @param signal - Ends each wait with its reason. */
	constructor(socket: Socket, signal: AbortSignal) {
		this.#socket = socket;
		this.#signal = signal;
		socket.pause();
		socket.on("data", (chunk) => {
			socket.pause(); // so what is kept is bounded, however much comes
			this.#chunks.push(chunk);
			this.#wake?.();
		});
		socket.on("end", () => this.#ended({ type: "end" }));
		socket.on("error", (error) => this.#ended({ type: "lost", reason: reason(error) }));
		socket.on("close", () => this.#ended({ type: "lost", reason: "the connection was lost" }));
		signal.addEventListener("abort", () => this.#wake?.());
	}

	/**
	 * What comes next.
	 *
	 * @param deadline - As `performance.now()` tells it.
	 * @throws the signal's reason.
	 */
	async next(deadline: number): Promise<Arrival> {
		if (this.#chunks.length === 0 && this.#end === null && !this.#signal.aborted) await this.#wait(deadline);
		this.#signal.throwIfAborted();
		const bytes = this.#chunks.shift();
		if (bytes !== undefined) return { type: "bytes", bytes };
		return this.#end ?? { type: "nothing" };
	}

	async #wait(deadline: number): Promise<void> {
		let timer: NodeJS.Timeout | undefined;
		await new Promise<void>((resolve) => {
			this.#wake = resolve;
			timer = setTimeout(resolve, Math.max(deadline - performance.now(), 0));
			this.#socket.resume();
		});
		this.#wake = null;
		clearTimeout(timer);
	}

	/** The first end counts: others follow from it. */
	#ended(end: Arrival): void {
		this.#end ??= end;
		this.#wake?.();
	}
}

function reason({ code, message }: NodeJS.ErrnoException): string {
	return code === "ECONNRESET" ? "the server reset the connection" : `the connection was lost: ${message}`;
}

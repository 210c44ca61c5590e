/**
 * A qmail-queue that runs: its pipes, its time, and its end.
 *
 * A pipe here is one end of a pair of sockets, as Node makes them for children; so what the child wrote to descriptor 1
 * can be read, which shows on Linux whether it left something of the envelope unread. For descriptor 0 that cannot be
 * seen: there a failed write shows it, which takes more than the socket's buffer holds.
 */
import type { ChildProcess } from "node:child_process";
import type { Socket } from "node:net";
import { LONGEST_TEXT } from "./exit-code.js";

/** How a child has ended. */
export interface Ending {
	/** Its exit code, or null if a signal ended it. */
	readonly code: number | null;
	readonly signal: NodeJS.Signals | null;
	/** True if it was killed since it kept us waiting. */
	readonly timedOut: boolean;
	/** True if it took message and envelope, as far as can be seen. */
	readonly readAll: boolean;
	/** What it wrote to descriptor 6, of which the first 255 bytes are kept. */
	readonly text: Uint8Array;
}

/** A child that was started. It takes the message, and then the envelope, or is cut. */
export class Child {
	readonly pid: number;
	/** Resolves when it was reaped and all its pipes are closed; never rejects. */
	readonly ended: Promise<Ending>;

	readonly #timeout: number;
	readonly #message: Socket;
	readonly #envelope: Socket;
	readonly #texts: Socket;
	#state: "message" | "ending" | "exited" = "message";
	#timer: NodeJS.Timeout | undefined;
	#resume: (() => void) | null = null; // the write that waits
	#timedOut = false;
	#envelopeSent = false;
	#envelopeFailed = false;
	#text: Uint8Array = NOTHING;

	/**
	 * @param program - As `startProgram` made it, with a `pid`.
	 * @param timeout - How long it may keep us waiting, in milliseconds.
	 */
	constructor(program: ChildProcess, timeout: number) {
		this.pid = program.pid as number;
		this.#timeout = timeout;
		// Its types do not know that descriptor 1 can be written to, and 6 read.
		[this.#message, this.#envelope, , , , , this.#texts] = program.stdio as unknown as Pipes;
		this.#message.on("error", ignore).on("drain", () => this.#wake());
		this.#message.on("close", () => this.#wake());
		this.#envelope.on("error", () => {
			this.#envelopeFailed = true; // EPIPE, or ECONNRESET if something was left unread
		});
		this.#envelope.resume(); // what it says there is dropped
		this.#texts.on("error", ignore).on("data", (bytes) => this.#keepText(bytes));
		program.on("error", ignore);
		program.on("exit", () => {
			this.#state = "exited";
			this.#wake();
			this.#arm(LINGER, () => this.#closePipes());
		});
		this.ended = new Promise((resolve) => {
			program.once("close", (code: number | null, signal: NodeJS.Signals | null) => {
				clearTimeout(this.#timer);
				const readAll = this.#envelopeSent && !this.#envelopeFailed;
				resolve({ code, signal, timedOut: this.#timedOut, readAll, text: this.#text });
			});
		});
	}

	/** Bytes of the message that its pipe has not taken. */
	get heldBytes(): number {
		return this.#message.writableLength;
	}

	/** The next bytes of the message. If it takes no more, they are dropped. @returns As `Delivery.write`. */
	write(bytes: Uint8Array): void | Promise<void> {
		return bytes.length > LARGEST_PIECE ? this.#writePieces(bytes) : this.#writePiece(bytes);
	}

	/** Ends the message, and sends the envelope when all of it was written; an empty one if it was not taken. */
	finish(envelope: Uint8Array): void {
		if (this.#state === "exited") return;
		const message = this.#message;
		this.#state = "ending";
		this.#armTimeout();
		if (!message.writable) {
			this.#envelope.end();
			return;
		}
		message.once("finish", () => this.#sendEnvelope(envelope)).once("close", () => this.#envelope.end());
		message.end();
	}

	/** Cuts the message, and ends the envelope before its first byte: so the child is to clean up and exit. */
	cut(): void {
		if (this.#state === "exited") return;
		this.#state = "ending";
		this.#message.destroy();
		this.#envelope.end();
		this.#arm(GRACE, () => this.#kill());
	}

	/** One piece after the other, since only a piece that was taken whole is seen as progress. */
	async #writePieces(bytes: Uint8Array): Promise<void> {
		for (let start = 0; start < bytes.length; start += LARGEST_PIECE) {
			const wait = this.#writePiece(bytes.subarray(start, start + LARGEST_PIECE));
			if (wait !== undefined) await wait;
		}
	}

	#writePiece(bytes: Uint8Array): void | Promise<void> {
		const message = this.#message;
		if (!message.writable) return;
		// write() says false for every large piece, even for one that the pipe has taken at once.
		if (message.write(bytes) || message.writableLength === 0) return;
		this.#armTimeout();
		return new Promise((resolve) => {
			this.#resume = resolve;
		});
	}

	/** The pipe has room again, or nobody reads it any more. */
	#wake(): void {
		const resume = this.#resume;
		if (resume === null) return;
		this.#resume = null;
		if (this.#state === "message") clearTimeout(this.#timer);
		resume();
	}

	#sendEnvelope(envelope: Uint8Array): void {
		this.#armTimeout();
		this.#envelope.write(envelope, (error) => {
			this.#envelopeSent = error === null || error === undefined;
		});
		this.#envelope.end();
	}

	#keepText(bytes: Uint8Array): void {
		if (this.#text.length === LONGEST_TEXT) return;
		this.#text = Buffer.concat([this.#text, bytes.subarray(0, LONGEST_TEXT - this.#text.length)]);
	}

	#armTimeout(): void {
		this.#arm(this.#timeout, () => {
			this.#timedOut = true;
			this.#kill();
		});
	}

	/** At most one timer runs: a child is waited for in one way at a time. */
	#arm(milliseconds: number, act: () => void): void {
		clearTimeout(this.#timer);
		this.#timer = setTimeout(act, milliseconds);
	}

	/** Only before its exit was seen: later its number may be another's. */
	#kill(): void {
		this.#state = "ending";
		try {
			process.kill(-this.pid, "SIGKILL"); // its group: what it has started, too
		} catch {
			// It has just ended, or runs as somebody else; without its pipes it will end.
		}
		this.#closePipes();
	}

	#closePipes(): void {
		this.#message.destroy();
		this.#envelope.destroy();
		this.#texts.destroy();
	}
}

type Pipes = [Socket, Socket, null, null, null, null, Socket];

function ignore(): void {}

// A slow reader takes 64 KiB in 10 minutes, whatever the size of a write.
const LARGEST_PIECE = 65_536;
// For qmail-queue to see the end of its input, perhaps behind an fsync, and remove its files, which a kill would leave.
const GRACE = 1000;
// For what the child wrote at last. A process that it left behind may hold the pipes for as long as it likes.
const LINGER = 1000;
const NOTHING = new Uint8Array(0);

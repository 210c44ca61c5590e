/** The ways by which mail comes into `qmtp serve`, as far as their ends go, and the signals that end them. */
import type { QmtpServer } from "../../server/server.js";
import { DONE, SIGNALS } from "../command.js";
import type { Log } from "../log.js";

/** A server that listens. */
export interface Door {
	/** Connections at the moment. */
	readonly connections: number;
	/** Finishes and answers what is under way, and resolves when all have gone, or have been dropped after that time. */
	close(options?: { readonly timeout?: number }): Promise<void>;
	/** Drops all connections now. */
	destroy(): void;
}

/** The doors of one process. */
export class Doors {
	readonly #doors: Door[] = [];
	readonly #timeout: number;
	#closed: Promise<void>[] | null = null; // of each door, once they are to close

	/** @param timeout - For connections to finish, in milliseconds. */
	constructor(timeout: number) {
		this.#timeout = timeout;
	}

	/** One more. It closes at once if the others do: a signal may come while doors are being opened. */
	add(door: Door | QmtpServer): void {
		this.#doors.push(door);
		this.#closed?.push(door.close({ timeout: this.#timeout }));
	}

	/** Whether they are to close, or have. */
	get isClosing(): boolean {
		return this.#closed !== null;
	}

	/** Connections at the moment. */
	get connections(): number {
		return this.#doors.reduce((sum, { connections }) => sum + connections, 0);
	}

	async close(): Promise<void> {
		const closed = this.#doors.map((door) => door.close({ timeout: this.#timeout }));
		this.#closed ??= closed;
		for (let done = 0; done < this.#closed.length; ) {
			done = this.#closed.length;
			await Promise.all(this.#closed);
		}
	}

	destroy(): void {
		for (const door of this.#doors) door.destroy();
	}

	/** Resolves when a signal has closed them. A second one ends the process: nobody waits for what the queue still does. */
	untilSignal(log: Log): Promise<void> {
		return new Promise((resolve, reject) => {
			let signals = 0;
			// One listener for all signals: one that comes while listeners are exchanged is lost.
			const onSignal = (signal: NodeJS.Signals) => {
				if (++signals > 1) {
					this.destroy();
					process.exit(DONE);
				}
				log.closing(signal, this.connections);
				this.close().then(resolve, reject);
			};
			for (const name of SIGNALS) process.on(name, onSignal);
		});
	}
}

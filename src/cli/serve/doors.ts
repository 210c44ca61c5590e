/** The ways by which mail comes into `qmtp serve`, as far as their ends go, and the signals that end them. */
import type { QmtpServer } from "../../server/server.js";
import { SIGNALS } from "../command.js";
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

	/** @param timeout - For connections to finish, in milliseconds. */
	constructor(timeout: number) {
		this.#timeout = timeout;
	}

	/** One more. */
	add(door: Door | QmtpServer): void {
		this.#doors.push(door);
	}

	/** Connections at the moment. */
	get connections(): number {
		return this.#doors.reduce((sum, { connections }) => sum + connections, 0);
	}

	async close(): Promise<void> {
		await Promise.all(this.#doors.map((door) => door.close({ timeout: this.#timeout })));
	}

	destroy(): void {
		for (const door of this.#doors) door.destroy();
	}

	/** Resolves when a signal has closed them: with true if a second one came, and dropped what was left. */
	untilSignal(log: Log): Promise<boolean> {
		return new Promise((resolve, reject) => {
			let signals = 0;
			// One listener for all signals: one that comes while listeners are exchanged is lost.
			const onSignal = (signal: NodeJS.Signals) => {
				if (++signals > 1) {
					this.destroy();
					return resolve(true);
				}
				log.closing(signal, this.connections);
				this.close().then(() => resolve(false), reject);
			};
			for (const name of SIGNALS) process.on(name, onSignal);
		});
	}
}

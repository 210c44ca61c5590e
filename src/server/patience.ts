/** How long a server waits for a client: in all, while it does nothing, and while it sends slowly. */
import { TransportError } from "../errors.js";
import type { ServerSettings } from "./options.js";
import { Pace } from "./pace.js";

/** What a client is waited for. */
export interface Waited {
	/** Since when it is to do something, on the clock of the timers; null while it is not. */
	readonly since: number | null;
	/** Whether that is to send the rest of a package. */
	readonly isForRest: boolean;
}

/** The patience with one client. */
export class Patience {
	readonly #settings: ServerSettings;
	readonly #pace: Pace;
	readonly #started = performance.now();

	constructor(settings: ServerSettings) {
		this.#settings = settings;
		this.#pace = new Pace(settings, this.#started);
	}

	/** Bytes came. */
	received(bytes: number): void {
		this.#pace.received(bytes);
	}

	/** Called on each tick. @returns Why the connection is to end, or null. */
	check(now: number, { since, isForRest }: Waited): TransportError | null {
		const { limits, timeouts } = this.#settings;
		const { idle, session } = timeouts;
		if (now - this.#started >= session) {
			return new TransportError("ERR_QMTP_SESSION_TIMEOUT", `the connection lasted ${session} ms`);
		}
		if (since !== null && now - since >= idle) {
			return new TransportError("ERR_QMTP_IDLE_TIMEOUT", `the client did nothing for ${idle} ms`);
		}
		if (this.#pace.isTooSlow(now, isForRest)) {
			const message = `the client sent less than ${limits.bytesPerSecond} bytes a second within a package`;
			return new TransportError("ERR_QMTP_SLOW_CLIENT", message);
		}
		return null;
	}
}

/**
 * How many connections there may be, in all and from one client, and who waits for a place. One limit may be shared by
 * several servers: two doors of a process, or the workers of a cluster.
 */

import { ipv6Bits, ipv6Network, ipv6Text } from "../access/ipv6.js";
import { withDefaults } from "../protocol/options.js";

/** What a {@link ConnectionLimit} allows. */
export interface ConnectionLimits {
	/**
	 * Connections at once.
	 * @defaultValue 61
	 */
	readonly connections: number;
	/**
	 * Connections at once from one client: an IPv4 address, or a /64 network of IPv6. Those that wait count too.
	 * @defaultValue Infinity
	 */
	readonly connectionsPerAddress: number;
	/**
	 * Connections beyond `connections` that wait for a place, accepted but not read.
	 * @defaultValue 0
	 */
	readonly waitingConnections: number;
}

/** The defaults of {@link ConnectionLimits}. */
export const DEFAULT_CONNECTION_LIMITS: ConnectionLimits = {
	connections: 61,
	connectionsPerAddress: Number.POSITIVE_INFINITY,
	waitingConnections: 0,
};

/** Why there is no place: there are too many connections, or too many of this client. */
export type NoPlace = "full" | "client-full";

/** Gives places to connections. {@link ConnectionLimit} is one within a process. */
export interface ConnectionLimiter {
	/**
	 * Asks for a place.
	 *
	 * @param address - Of the client; empty if it is not known, and then only the number of all counts.
	 * @param signal - Ends the wait for a place.
	 * @returns A place, or why there is none; a promise if it must be waited for.
	 */
	enter(address: string, signal: AbortSignal): Place | NoPlace | Promise<Place | NoPlace>;
}

/** The place of a connection. */
export interface Place {
	/**
	 * Whose it is, if that was not known before.
	 *
	 * @returns False if the client has as many connections as it may; then only `leave` follows.
	 */
	claim(address: string): boolean | Promise<boolean>;
	/** Gives it back. Further calls do nothing. */
	leave(): void;
}

/** Places within a process: whoever comes first has one first. */
export class ConnectionLimit implements ConnectionLimiter {
	readonly #limits: ConnectionLimits;
	readonly #clients = new Map<string, number>(); // how many connections each has; counted only if that is limited
	readonly #waiting = new Set<() => void>();
	#open = 0;

	/** @throws UsageError `ERR_QMTP_OPTION` for what is no number. */
	constructor(limits: Partial<ConnectionLimits> = {}) {
		const { connections, connectionsPerAddress, waitingConnections } = limits; // a server's are more than these
		const given = { connections, connectionsPerAddress, waitingConnections } as Partial<ConnectionLimits>;
		this.#limits = withDefaults("limits", DEFAULT_CONNECTION_LIMITS, given);
	}

	/** Places that are taken. */
	get open(): number {
		return this.#open;
	}

	/** Connections that wait for one. */
	get waiting(): number {
		return this.#waiting.size;
	}

	enter(address: string, signal: AbortSignal): Place | NoPlace | Promise<Place | NoPlace> {
		const client = this.#clientOf(address);
		if (!this.#count(client)) return "client-full";
		if (this.#open < this.#limits.connections) return this.#place(client);
		if (this.#waiting.size < this.#limits.waitingConnections) return this.#wait(client, signal);
		this.#uncount(client);
		return "full";
	}

	#wait(client: string, signal: AbortSignal): Promise<Place | NoPlace> {
		return new Promise((resolve) => {
			const giveUp = () => {
				this.#waiting.delete(admit);
				this.#uncount(client);
				resolve("full");
			};
			const admit = () => {
				signal.removeEventListener("abort", giveUp);
				resolve(this.#place(client));
			};
			this.#waiting.add(admit);
			signal.addEventListener("abort", giveUp, { once: true });
			if (signal.aborted) giveUp();
		});
	}

	#place(client: string): Place {
		this.#open++;
		let holder = client;
		let isTaken = true;
		return {
			claim: (address) => {
				if (!isTaken) return false;
				this.#uncount(holder);
				const next = this.#clientOf(address);
				const isAllowed = this.#count(next);
				holder = isAllowed ? next : NOBODY;
				return isAllowed;
			},
			leave: () => {
				if (!isTaken) return;
				isTaken = false;
				this.#uncount(holder);
				this.#open--;
				const [next] = this.#waiting;
				if (next === undefined) return;
				this.#waiting.delete(next);
				next();
			},
		};
	}

	#clientOf(address: string): string {
		return this.#limits.connectionsPerAddress === Number.POSITIVE_INFINITY ? NOBODY : clientOf(address);
	}

	#count(client: string): boolean {
		if (client === NOBODY) return true;
		const count = this.#clients.get(client) ?? 0;
		if (count >= this.#limits.connectionsPerAddress) return false;
		this.#clients.set(client, count + 1);
		return true;
	}

	#uncount(client: string): void {
		const count = this.#clients.get(client);
		if (count === undefined) return;
		if (count > 1) this.#clients.set(client, count - 1);
		else this.#clients.delete(client);
	}
}

/** Who counts as one client: an IPv4 address; of IPv6 the network that one customer gets, who has all addresses in it. */
function clientOf(address: string): string {
	const bits = ipv6Bits(address);
	return bits === null ? address : ipv6Text(ipv6Network(bits, CUSTOMER_BITS));
}

const NOBODY = "";
const CUSTOMER_BITS = 64;

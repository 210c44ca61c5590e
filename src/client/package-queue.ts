/** Packages that are still to be sent, first come first. */
import type { OutgoingPackage } from "./outgoing.js";

/** A queue of packages. Those whose caller wants no result any more are passed over. */
export class PackageQueue {
	#packages: OutgoingPackage[] = [];
	#head = 0;

	/** The next package, which stays in the queue. */
	first(): OutgoingPackage | undefined {
		for (;;) {
			const next = this.#packages[this.#head];
			if (next === undefined || !next.outgoing.settled) return next;
			this.shift();
		}
	}

	/** Takes the next package out. */
	shift(): void {
		this.#head++;
		if (this.#head * 2 < this.#packages.length) return;
		this.#packages = this.#packages.slice(this.#head);
		this.#head = 0;
	}

	/** Puts packages behind all others. */
	push(packages: readonly OutgoingPackage[]): void {
		for (const package_ of packages) this.#packages.push(package_);
	}

	/** Puts packages in front of all others. */
	unshift(packages: readonly OutgoingPackage[]): void {
		this.#packages = [...packages, ...this.#packages.slice(this.#head)];
		this.#head = 0;
	}

	/** Takes all packages out. */
	clear(): OutgoingPackage[] {
		const rest = this.#packages.slice(this.#head);
		this.#packages = [];
		this.#head = 0;
		return rest;
	}
}

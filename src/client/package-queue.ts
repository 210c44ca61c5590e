/** Packages in order, first come first: those that are still to be sent, or those that wait for their answers. */
import type { OutgoingPackage } from "./outgoing.js";

/** A queue of packages. */
export class PackageQueue {
	#packages: OutgoingPackage[] = [];
	#head = 0;

	/** The next package, which stays in the queue. Those whose caller wants no result any more are passed over. */
	first(): OutgoingPackage | undefined {
		for (;;) {
			const next = this.#packages[this.#head];
			if (next === undefined || !next.outgoing.settled) return next;
			this.shift();
		}
	}

	/** Takes the next package out, whether or not its caller wants a result. */
	shift(): OutgoingPackage | undefined {
		const next = this.#packages[this.#head++];
		if (this.#head * 2 >= this.#packages.length) {
			this.#packages = this.#packages.slice(this.#head);
			this.#head = 0;
		}
		return next;
	}

	/** True if there is one whose caller wants its result. */
	get wanted(): boolean {
		for (let index = this.#head; index < this.#packages.length; index++) {
			if (this.#packages[index]?.outgoing.settled === false) return true;
		}
		return false;
	}

	/** Puts a package behind all others. */
	add(package_: OutgoingPackage): void {
		this.#packages.push(package_);
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

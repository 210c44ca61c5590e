/**
 * The package amqplib, which not everybody has: loaded when a connection is made. With it, a guard that it lacks.
 *
 * amqplib tells of an opened connection only after it has read all that came with the broker's last word. What is fatal in
 * there, it says by an "error" event that nobody can listen to yet, which ends the process. So `Connection.open`, which is
 * no public way, puts a listener there first; only on our own connections, which are known by their credentials. A
 * release in which that cannot be done is refused.
 */
import type { EventEmitter } from "node:events";
import { createRequire } from "node:module";
import { UsageError } from "../../errors.js";

/** Loads it. @throws UsageError `ERR_QMTP_PACKAGE` if it is not installed, or cannot be guarded. */
export function loadAmqplib(): typeof import("amqplib") {
	const amqplib = load();
	guardOpening();
	return amqplib;
}

/** Hears of a connection's first error, from before anybody else can. */
export class OpeningGuard {
	/** What the connection is to be made with. */
	readonly credentials: { readonly mechanism: "PLAIN"; readonly response: () => Buffer };
	#error: Error | null = null;
	#isInPlace = false;

	constructor(user: string, password: string) {
		const response = Buffer.from(`\0${user}\0${password}`); // RFC 4616
		this.credentials = { mechanism: "PLAIN", response: () => response };
		guards.set(response, this);
	}

	/** The first error. */
	get error(): Error | null {
		return this.#error;
	}

	/** Listens. */
	watch(connection: EventEmitter): void {
		this.#isInPlace = true;
		connection.on("error", (error) => {
			this.#error ??= error;
		});
	}

	/** @throws UsageError `ERR_QMTP_PACKAGE` if the connection was opened in another way. */
	check(): void {
		if (!this.#isInPlace) throw unknownRelease();
	}
}

function load(): typeof import("amqplib") {
	try {
		return require("amqplib");
	} catch (cause) {
		if ((cause as { code?: unknown } | null)?.code !== "MODULE_NOT_FOUND") throw cause;
		const message = "a queue of RabbitMQ needs the package amqplib: npm install amqplib";
		throw new UsageError("ERR_QMTP_PACKAGE", message, { cause });
	}
}

function guardOpening(): void {
	if (isGuarded) return;
	const prototype = innerPrototype();
	const { open } = prototype;
	if (typeof open !== "function") throw unknownRelease();
	prototype.open = function (fields, ...rest) {
		guards.get(fields.response)?.watch(this);
		return open.call(this, fields, ...rest);
	};
	isGuarded = true;
}

function innerPrototype(): InnerConnection {
	try {
		// Relative to the package: by its name only what it exports can be loaded.
		return createRequire(require.resolve("amqplib"))("./lib/connection.js").Connection.prototype;
	} catch (cause) {
		throw unknownRelease(cause);
	}
}

function unknownRelease(cause?: unknown): UsageError {
	const message = `the installed release of amqplib is not one that this works with: npm install amqplib@${RELEASES}`;
	return new UsageError("ERR_QMTP_PACKAGE", message, { cause });
}

/** What amqplib's connections have, but do not declare. */
interface InnerConnection extends EventEmitter {
	open(this: InnerConnection, fields: { readonly response: object }, ...rest: unknown[]): void;
}

const RELEASES = "~2.3.1";
const guards = new WeakMap<object, OpeningGuard>(); // by the response in the credentials
let isGuarded = false;
const require = createRequire(import.meta.url);

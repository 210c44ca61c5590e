/** The package amqplib, which not everybody has: loaded when a connection is made. */
import { createRequire } from "node:module";
import { UsageError } from "../../errors.js";

/** Loads it. @throws UsageError `ERR_QMTP_PACKAGE` if it is not installed. */
export function loadAmqplib(): typeof import("amqplib") {
	try {
		return require("amqplib");
	} catch (cause) {
		if ((cause as { code?: unknown } | null)?.code !== "MODULE_NOT_FOUND") throw cause;
		const message = "a queue of RabbitMQ needs the package amqplib: npm install amqplib";
		throw new UsageError("ERR_QMTP_PACKAGE", message, { cause });
	}
}

const require = createRequire(import.meta.url);

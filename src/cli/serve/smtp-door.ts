/** The SMTP door of `qmtp serve`. It needs the npm package smtp-server, which is loaded when a door is asked for. */
import type { AddressInfo } from "node:net";
import { TransportError } from "../../errors.js";
import type { SmtpServerOptions } from "../../gateway/smtp.js";
import type { ListenTarget } from "../../server/listening.js";
import { hostAndPort } from "../host-and-port.js";
import type { Log } from "../log.js";
import type { Door } from "./doors.js";

/** A door that listens. */
export interface SmtpDoor extends Door {
	readonly address: AddressInfo | string;
}

/** Opens the door. @throws An Error if the package is missing, or the port cannot be had. */
export async function openSmtpDoor(
	options: SmtpServerOptions,
	target: ListenTarget,
	log: Log,
): Promise<SmtpDoor> {
	const { createSmtpServer } = await import("../../gateway/smtp.js").catch((cause) => {
		throw new Error("SMTP needs the package smtp-server: npm install smtp-server", { cause });
	});
	const door = createSmtpServer(options);
	door.on("package", (report) => log.package(report));
	door.on("fault", (error, context) => log.fault(error, context));
	let failed: (error: Error) => void = () => {};
	try {
		await new Promise<void>((resolve, reject) => {
			failed = reject;
			door.on("error", failed);
			door.listen({ ...target }, resolve);
		});
	} catch (cause) {
		const { fd, host = "", port = 0 } = target;
		const where = fd === undefined ? hostAndPort(host, port) : `descriptor ${fd}`;
		const reason = (cause as Error).message;
		throw new TransportError("ERR_QMTP_LISTEN", `cannot listen on ${where} for SMTP: ${reason}`, { cause });
	}
	door.off("error", failed);
	return {
		address: door.server.address() as AddressInfo | string,
		get connections() {
			return door.connections.size;
		},
		close: () => door.close(),
		destroy: () => {
			for (const connection of door.connections) connection.close();
		},
	};
}

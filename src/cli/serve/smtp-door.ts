/** The SMTP door of `qmtp serve`. It needs the npm package smtp-server, which is loaded when a door is asked for. */
import type { AddressInfo } from "node:net";
import { TransportError } from "../../errors.js";
import type { SmtpServerOptions } from "../../gateway/smtp.js";
import type { Log } from "../log.js";
import type { Door } from "./doors.js";

/** A door that listens. */
export interface SmtpDoor extends Door {
	readonly address: AddressInfo;
}

/** Opens the door. @throws An Error if the package is missing, or the port cannot be had. */
export async function openSmtpDoor(
	options: SmtpServerOptions,
	target: { readonly host: string; readonly port: number },
	log: Log,
): Promise<SmtpDoor> {
	const { createSmtpServer } = await import("../../gateway/smtp.js").catch((cause) => {
		throw new Error("--smtp-port needs the package smtp-server: npm install smtp-server", { cause });
	});
	const door = createSmtpServer(options);
	door.on("package", (report) => log.package(report));
	door.on("fault", (error, context) => log.fault(error, context));
	let failed: (error: Error) => void = () => {};
	try {
		await new Promise<void>((resolve, reject) => {
			failed = reject;
			door.on("error", failed);
			door.listen(target.port, target.host, resolve);
		});
	} catch (cause) {
		const where = `${target.host}:${target.port}`;
		const reason = (cause as Error).message;
		throw new TransportError("ERR_QMTP_LISTEN", `cannot listen on ${where} for SMTP: ${reason}`, { cause });
	}
	door.off("error", failed);
	return {
		address: door.server.address() as AddressInfo,
		get connections() {
			return door.connections.size;
		},
		close: () => door.close(),
		destroy: () => {
			for (const connection of door.connections) connection.close();
		},
	};
}

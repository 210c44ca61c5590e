/** `qmtp serve` in one process. */
import { ConnectionLimit } from "../../server/connection-limit.js";
import { DONE } from "../command.js";
import { listeningLine } from "../listening-lines.js";
import { warnOfAccess } from "./access.js";
import { ServeCertificates } from "./certificates.js";
import { type MetricsDoor, openMetricsDoor } from "./metrics-door.js";
import { type DoorAddresses, Service } from "./service.js";
import type { ServeSettings } from "./settings.js";

/** Serves until a signal ends it. @returns The exit code. @throws An Error that says why it cannot serve. */
export async function serveAlone(settings: ServeSettings): Promise<number> {
	const { tls, connections, metrics, changesUser, targets, log } = settings;
	const certificates = tls === null ? null : await ServeCertificates.read(tls, log);
	const service = await Service.make(settings, {
		limit: new ConnectionLimit(connections),
		tls: certificates?.contents ?? null,
		smtpConnections: connections.connections,
	});
	warnOfAccess(service.access);
	certificates?.warnIfExpired();
	let metricsDoor: MetricsDoor | null = null;
	const ended = service.doors.untilSignal(log);
	try {
		certificates?.reloadOnHangUp((contents) => service.updateCertificates(contents));
		const addresses = await service.listen(targets);
		if (changesUser) await certificates?.warnIfUnreadable();
		if (metrics !== null) metricsDoor = await openMetricsDoor(service.servers, metrics, log);
		if (!service.doors.isClosing) {
			printAddresses(addresses);
			if (metricsDoor !== null) process.stdout.write(listeningLine(metricsDoor.address, " for metrics"));
			service.open();
		}
	} catch (error) {
		// A signal in the midst of opening makes what is opened later fail: that is the end that was asked for.
		if (!service.doors.isClosing) {
			service.destroy();
			throw error;
		}
	}
	await ended;
	await service.closeQueue();
	await metricsDoor?.close(); // last of all: it tells how the end goes
	return DONE;
}

/** Says where it listens, a line for each address. */
export function printAddresses({ qmtp, qmtps, smtp }: DoorAddresses): void {
	for (const address of qmtp) process.stdout.write(listeningLine(address));
	for (const address of qmtps) process.stdout.write(listeningLine(address, " for TLS"));
	for (const address of smtp) process.stdout.write(listeningLine(address, " for SMTP"));
}

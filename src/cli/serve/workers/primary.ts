/**
 * `qmtp serve --workers`: the primary process holds the sockets and the limit on connections, and serves nobody itself.
 * Signals come to it, and what they mean goes on to the workers.
 */
import { createSecureContext } from "node:tls";
import { DONE, SIGNALS } from "../../command.js";
import { listeningLine } from "../../listening-lines.js";
import { namedQueue } from "../../queues.js";
import { prepareAccess, warnOfAccess } from "../access.js";
import { printAddresses } from "../alone.js";
import { ServeCertificates } from "../certificates.js";
import type { ServeSettings } from "../settings.js";
import { Crew } from "./crew.js";
import { openCrewMetrics } from "./metrics.js";

/** Serves until a signal ends it. @returns The exit code. @throws An Error that says why it cannot serve. */
export async function serveByWorkers(settings: ServeSettings): Promise<number> {
	const { tls, metrics, changesUser, becomeUser, log } = settings;
	const certificates = tls === null ? null : await ServeCertificates.read(tls, log);
	// What is wrong is said once, and not by each worker.
	await namedQueue(settings.queue);
	const access = settings.accessSources();
	await prepareAccess(access);
	warnOfAccess(access);
	certificates?.warnIfExpired();
	const crew = new Crew(settings, certificates?.contents ?? null);
	certificates?.reloadOnHangUp((contents) => {
		createSecureContext({ ...contents }); // throws what a worker would
		crew.updateCertificates(contents);
	});
	let signals = 0;
	for (const name of SIGNALS) {
		process.on(name, (signal) => {
			if (++signals > 1) return crew.destroy();
			log.closing(signal, crew.limit.open);
			crew.close();
		});
	}
	const starting = crew.start();
	// A signal may come first, or a worker may fail: then the others end before the command does.
	const addresses = await Promise.race([starting, crew.ended]).catch(async (error) => {
		await crew.ended.catch(() => {});
		throw error;
	});
	if (addresses === undefined) return DONE;
	becomeUser();
	if (changesUser) await certificates?.warnIfUnreadable();
	const metricsDoor =
		metrics === null
			? null
			: await openCrewMetrics(crew, metrics, log).catch(async (error) => {
					crew.close();
					await crew.ended;
					throw error;
				});
	printAddresses(addresses);
	if (metricsDoor !== null) process.stdout.write(listeningLine(metricsDoor.address, " for metrics"));
	crew.open();
	await crew.ended.finally(() => metricsDoor?.close());
	return DONE;
}

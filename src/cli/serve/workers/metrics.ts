/** The metrics door of a primary: the metrics of all its workers, added up when they are asked for. */
import type { Log } from "../../log.js";
import { type MetricsDoor, type MetricsTarget, openSourceDoor } from "../metrics-door.js";
import type { Crew } from "./crew.js";

/** Opens it. The workers have said that the package is there. @throws TransportError `ERR_QMTP_LISTEN`. */
export async function openCrewMetrics(crew: Crew, target: MetricsTarget, log: Log): Promise<MetricsDoor> {
	const { SUM_CONTENT_TYPE, sumOfMetrics } = await import("../../../metrics/sum.js");
	const metrics = async () => sumOfMetrics(await crew.metrics());
	return openSourceDoor({ contentType: SUM_CONTENT_TYPE, metrics }, target, log);
}

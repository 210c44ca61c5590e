/** Tracing channels of node:diagnostics_channel, for which nobody pays but who listens. */
import type { TracingChannel } from "node:diagnostics_channel";

/** Whether anybody listens to any of its events. Node 20's TracingChannel has no name for this. */
export function isTraced(tracing: TracingChannel<unknown, never> | TracingChannel<unknown, object>): boolean {
	const { start, end, asyncStart, asyncEnd, error } = tracing; // no array of them: it is asked for each package
	return (
		start.hasSubscribers ||
		end.hasSubscribers ||
		asyncStart.hasSubscribers ||
		asyncEnd.hasSubscribers ||
		error.hasSubscribers
	);
}

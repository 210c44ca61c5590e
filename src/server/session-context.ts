/** What a session needs of its server. */
import type { Timers } from "../timers.js";
import type { HeldBytes } from "./held-bytes.js";
import type { ServerSettings } from "./options.js";
import type { FaultContext, PackageReport } from "./reports.js";
import type { Counts } from "./stats.js";

/** The server, seen from a session. */
export interface SessionContext {
	readonly settings: ServerSettings;
	readonly timers: Timers;
	readonly counts: Counts;
	readonly heldBytes: HeldBytes;
	/** A new name for a message. */
	newId(): string;
	/** True if somebody listens to `package` events. */
	readonly reportsPackages: boolean;
	package(report: PackageReport): void;
	fault(error: Error, context: FaultContext): void;
}

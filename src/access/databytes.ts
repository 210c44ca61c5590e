/** qmail's limit for the size of messages: control/databytes, and DATABYTES of a rule or of the environment. */
import { LONGEST_NETSTRING } from "../protocol/limits.js";

/** The largest message body, in bytes, where qmail says `databytes`: for it, 0 is no limit but the protocol's. */
export function databytesLimit(databytes: number): number {
	return databytes === 0 ? LONGEST_NETSTRING : databytes;
}

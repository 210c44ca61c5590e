/** Names for messages, one series for all servers of a process. */
import { threadId } from "node:worker_threads";

/** Digits, like the process number that qmail puts there; the process's own makes them unique on this machine. */
export function newMessageId(): string {
	if (++ids > LAST_ID) {
		ids = FIRST_ID;
		start = String(Date.now());
	}
	return `${start}${ids}${PROCESS}`;
}

const FIRST_ID = 1_000_000;
const LAST_ID = 9_999_999;
const PROCESS = `${process.pid}${threadId === 0 ? "" : threadId}`;
let start = String(Date.now());
let ids = FIRST_ID; // small, since the text of a large number takes V8 more than 100 ns

/** What the end of a connection is as an exit code of qmail-qmtpd. */
import { ProtocolError, TransportError } from "../errors.js";
import { DONE, PERMANENT, TEMPORARY } from "./command.js";

/**
 * 100 if the client broke the protocol, 111 for a length beyond all bounds, for time, and for a fault of ours; 0 if it
 * has left, wherever it was.
 *
 * @param error - What a server reports of a connection's end.
 */
export function connectionStatus(error: Error | undefined): number {
	if (error === undefined) return DONE;
	if (error instanceof ProtocolError) return error.code === "ERR_NETSTRING_TOO_LONG" ? TEMPORARY : PERMANENT;
	if (error instanceof TransportError && error.code === "ERR_QMTP_CONNECTION_CLOSED") return DONE;
	return "syscall" in error ? DONE : TEMPORARY; // a connection that broke is a client that left
}

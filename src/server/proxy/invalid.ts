/** The error of a PROXY header that is none. */
import { ProtocolError } from "../../errors.js";

/** @param offset - The byte of the connection that broke the rule. */
export function invalid(message: string, offset: number): ProtocolError {
	return new ProtocolError("ERR_QMTP_PROXY_HEADER", `PROXY header: ${message}`, offset);
}

/** What a server prints when it is ready: where it listens. */
import type { AddressInfo } from "node:net";
import { hostAndPort } from "./host-and-port.js";

/** Where something listens: a path for a Unix socket. */
export type ListenAddress = AddressInfo | string;

/** `listening on 127.0.0.1:2209 for TLS`, with its line end. @param purpose - Empty, or such as ` for TLS`. */
export function listeningLine(address: ListenAddress, purpose = ""): string {
	const where = typeof address === "string" ? address : hostAndPort(address.address, address.port);
	return `listening on ${where}${purpose}\n`;
}

/** What a router tells of the mail that it delivered. */
import { byStatus } from "../../client/result.js";
import type { QmtpError } from "../../errors.js";
import type { QmtpResponse } from "../../protocol/response.js";
import type { RouteProtocol } from "../mxps.js";

/** A host that was tried, and why the mail went on to the next. */
export interface Attempt {
	/** What was to be spoken. */
	readonly protocol: RouteProtocol;
	/** The host's name, or its address where no name is known. */
	readonly host: string;
	/** The address; empty if the host has none. */
	readonly address: string;
	/** The port. */
	readonly port: number;
	/** Why nothing was delivered there. */
	readonly error: QmtpError;
}

/** What became of one recipient. */
export interface RoutedResult extends QmtpResponse {
	/** As the caller gave it. */
	readonly recipient: string;
	/** What the answer came by; undefined if no host was reached. */
	readonly protocol?: RouteProtocol;
	/** The host that answered, or was to. */
	readonly host?: string;
	/** Its address. */
	readonly address?: string;
	/** Why there is no answer of a server's, if there is none: `status` is then Z, or D where trying again cannot help. */
	readonly error?: QmtpError;
	/** With `error`: true if the server may have accepted it, so that sending it again may make a duplicate. */
	readonly possiblyAccepted?: boolean;
	/** The hosts that were tried before, in order. */
	readonly tried: readonly Attempt[];
}

/** What became of one message. */
export interface RoutedMail {
	/** One for each recipient, in the caller's order. */
	readonly responses: readonly RoutedResult[];
	/** The addresses with a K. */
	readonly accepted: readonly string[];
	/** The addresses with a Z: try again later. */
	readonly deferred: readonly string[];
	/** The addresses with a D: never try again. */
	readonly rejected: readonly string[];
}

/** What became of a message, from what became of its recipients. */
export function routedMail(responses: readonly RoutedResult[]): RoutedMail {
	return { responses, ...byStatus(responses) };
}

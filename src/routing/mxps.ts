/**
 * The Mail Exchanger Protocol Switch: the preference of an MX record tells which protocol its exchange takes mail by.
 * The preferences from 12800 to 13055 are 16 priorities of 16 protocols each; QMTP is number 1. A client speaks QMTP to
 * such an exchange, and SMTP if no connection for QMTP can be made, but not if the connection was made and the delivery
 * failed. To all other exchanges it speaks SMTP. The order of the exchanges is that of their preferences, as ever.
 *
 * Source: D. J. Bernstein, "Mail Exchanger Protocol Switch (MXPS)"
 */
import { UsageError } from "../errors.js";

/** How mail is handed over. An exchange for "qmtp" takes mail by SMTP too. */
export type RouteProtocol = "qmtp" | "smtp";

/** Where QMTP servers listen. */
export const QMTP_PORT = 209;

/** Where SMTP servers listen. */
export const SMTP_PORT = 25;

/** What to speak first to an exchange with this preference. */
export function protocolFor(preference: number): RouteProtocol {
	const priority = (preference - FIRST) / STEP;
	return isPriority(priority) ? "qmtp" : "smtp";
}

/**
 * The preference that announces QMTP: 12801, 12817, ..., 13041.
 *
 * @param priority - From 0, for the exchange that is tried first, to 15.
 * @throws UsageError `ERR_QMTP_OPTION` for what is no such number.
 */
export function qmtpPreference(priority: number): number {
	if (isPriority(priority)) return FIRST + STEP * priority;
	throw new UsageError("ERR_QMTP_OPTION", `a priority is a whole number from 0 to 15, not ${priority}`);
}

/** Where a protocol's servers listen. */
export function portFor(protocol: RouteProtocol): number {
	return protocol === "qmtp" ? QMTP_PORT : SMTP_PORT;
}

function isPriority(number: number): boolean {
	return Number.isInteger(number) && number >= 0 && number < PRIORITIES;
}

const FIRST = 12801;
const STEP = 16;
const PRIORITIES = 16;

/** Options that callers give: what is unknown is refused, and what is left out gets its default. */
import { UsageError } from "../errors.js";

/**
 * Refuses options that do not exist: one that is misspelt, or not there yet, must not be passed over in silence. What is
 * undefined, null or false asks for nothing.
 *
 * @throws UsageError `ERR_QMTP_OPTION`.
 */
export function onlyOptions(given: object, known: readonly string[]): void {
	for (const [name, value] of Object.entries(given)) {
		if (!UNASKED.has(value) && !known.includes(name)) {
			throw new UsageError("ERR_QMTP_OPTION", `there is no option ${name}`);
		}
	}
}

/**
 * Options that are numbers, with the defaults of those that were not given.
 *
 * @param group - What the group of options is called, for the error.
 * @throws UsageError `ERR_QMTP_OPTION` for a name that is not among the defaults, and for what is no positive number.
 */
export function withDefaults<T extends object>(group: string, defaults: T, given: Partial<T> = {}): T {
	const merged = { ...defaults } as Record<string, unknown>;
	for (const [name, value] of Object.entries(given)) {
		if (!(name in merged)) throw new UsageError("ERR_QMTP_OPTION", `there is no option ${group}.${name}`);
		if (value === undefined) continue;
		const least = MAY_BE_ZERO.has(name) ? 0 : 1;
		if (typeof value !== "number" || !(value >= least)) {
			const message = `${group}.${name} must be a number of at least ${least}, not ${value}`;
			throw new UsageError("ERR_QMTP_OPTION", message);
		}
		merged[name] = value;
	}
	return merged as T;
}

/** @throws UsageError `ERR_QMTP_OPTION` if `value` is no whole number from `least` to `most`. */
export function wholeNumberOption(
	name: string,
	value: number,
	least: number,
	most: number = Number.MAX_SAFE_INTEGER,
): number {
	if (Number.isSafeInteger(value) && value >= least && value <= most) return value;
	const range = most === Number.MAX_SAFE_INTEGER ? `from ${least} on` : `from ${least} to ${most}`;
	throw new UsageError("ERR_QMTP_OPTION", `${name} must be a whole number ${range}, not ${value}`);
}

/** @throws UsageError `ERR_QMTP_OPTION` if `value` is no text, or one that is empty or holds a NUL. */
export function textOption(name: string, value: string | undefined): string {
	if (typeof value === "string" && value !== "" && !value.includes("\0")) return value;
	throw new UsageError("ERR_QMTP_OPTION", `${name} must be a text that is neither empty nor holds a NUL`);
}

const UNASKED = new Set<unknown>([undefined, null, false]);
const MAY_BE_ZERO = new Set(["messageBytes", "addressBytes", "waitingConnections", "bytesPerSecond"]);

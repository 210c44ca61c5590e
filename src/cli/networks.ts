/** Networks that stand on the command line. */
import { type Contains, networks as networksOf } from "../access/networks.js";
import { UsageError } from "../errors.js";
import { WrongUse } from "./command.js";

export type { Contains } from "../access/networks.js";

/** @throws WrongUse if one is neither an address nor a network such as 192.0.2.0/24. */
export function networks(option: string, texts: readonly string[]): Contains {
	try {
		return networksOf(`--${option}`, texts);
	} catch (error) {
		throw error instanceof UsageError ? new WrongUse(error.message) : error;
	}
}

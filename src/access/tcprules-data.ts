/** The data of a rule's record in a cdb. */
import type { TcpRule } from "./tcprules.js";

/**
 * A rule from the data that `tcprules` compiles it to: items that each end with a NUL, `D` for deny and `+NAME=value`.
 * Null if the data is not well-formed. (tcpserver passes over such items; that would be a rule without its deny.)
 */
export function ruleOfData(key: string, data: string): TcpRule | null {
	const variables: Record<string, string> = Object.create(null);
	let allow = true;
	if (data === "") return { key, allow, variables };
	if (!data.endsWith("\0")) return null;
	for (const item of data.slice(0, -1).split("\0")) {
		const equals = item.indexOf("=");
		if (item === "D") allow = false;
		else if (item.startsWith("+") && equals !== -1) variables[item.slice(1, equals)] = item.slice(equals + 1);
		else return null;
	}
	return { key, allow, variables };
}

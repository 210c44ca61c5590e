/** Operands as the bytes that they are: Node takes them for UTF-8, and what is none is lost. */
import { readFileSync } from "node:fs";

/**
 * The operands, which are the last words of the command line, one character a byte (Latin-1).
 *
 * @returns Null if their bytes cannot be had: then none of them may be used.
 */
export function byteOperands(operands: readonly string[]): readonly string[] | null {
	if (!operands.some((operand) => operand.includes(LOST))) {
		return operands.map((operand) => Buffer.from(operand).toString("latin1"));
	}
	try {
		const words = readFileSync("/proc/self/cmdline", "latin1").split("\0").slice(0, -1);
		return words.slice(-operands.length);
	} catch {
		return null; // not on Linux
	}
}

const LOST = "\ufffd";

/** Numbers as qmail's programs read them from control files and the environment. */

/** The number that a text starts with, else 0. One that is too large becomes `Number.MAX_SAFE_INTEGER`. */
export function leadingNumber(text: string): number {
	const [digits] = /^\d*/.exec(text) as RegExpExecArray;
	return Math.min(Number(digits), Number.MAX_SAFE_INTEGER);
}

/** Texts from strangers on terminals and in logs. */

/** The text on one line, with control characters written as `\x1b`: nobody else steers this terminal. */
export function printable(text: string): string {
	return text.replace(CONTROL, (character) => {
		const code = character.codePointAt(0) as number;
		return `\\x${code.toString(16).padStart(2, "0")}`;
	});
}

const CONTROL = /[\p{Cc}\u2028\u2029]/gu;

/** Texts from strangers on terminals and in logs. */

/**
 * The text on one line, with control characters, and those that turn its direction or cannot be seen, written as `\x1b`:
 * nobody else steers this terminal.
 */
export function printable(text: string): string {
	return text.replace(CONTROL, escaped);
}

/** The same for a part of a line: nothing that parts are told apart by stands in it, nor a backslash of its own. */
export function printablePart(text: string): string {
	return printable(text.replace(SEPARATOR, escaped));
}

/** The JSON of a value, with all control characters escaped: JSON itself leaves those above 7F. */
export function printableJson(value: unknown): string {
	return JSON.stringify(value).replace(CONTROL, (character) =>
		Array.from({ length: character.length }, (_, index) => {
			return `\\u${character.charCodeAt(index).toString(16).padStart(4, "0")}`;
		}).join(""),
	);
}

function escaped(character: string): string {
	const code = character.codePointAt(0) as number;
	return `\\x${code.toString(16).padStart(2, "0")}`;
}

const CONTROL = /[\p{Cc}\p{Cf}\u2028\u2029]/gu;
const SEPARATOR = /[ "<>\\,]/g;

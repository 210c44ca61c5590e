/** Lines and keys in the messages of errors. */

/** The beginning of a text in quotes, in printable ASCII: it may be shown on a terminal. One character a byte. */
export function quoted(text: string): string {
	const shown = JSON.stringify(text.slice(0, LONGEST)).replace(/[\x7f-\xff]/g, escaped);
	return text.length > LONGEST ? `${shown}...` : shown;
}

function escaped(character: string): string {
	return `\\x${character.charCodeAt(0).toString(16)}`;
}

const LONGEST = 60; // characters

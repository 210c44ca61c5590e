/** Lines of qmail's files: what stands at their ends does not count. */

/** The line without the spaces and tabs at its end. */
export function withoutTrailingBlanks(line: string): string {
	let end = line.length;
	while (end > 0 && (line[end - 1] === " " || line[end - 1] === "\t")) end--;
	return line.slice(0, end);
}

/** What a proxy calls a connection, as text. */

/** The name as it is if it is UTF-8, as HAProxy's are, else in hexadecimal digits. */
export function uniqueIdText(uniqueId: Uint8Array): string {
	try {
		return UTF_8.decode(uniqueId);
	} catch {
		return Buffer.from(uniqueId).toString("hex");
	}
}

const UTF_8 = new TextDecoder("utf-8", { fatal: true });

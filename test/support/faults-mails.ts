/** Mail for tests with faults, and what became of it: what each recipient of each message was told, and what is stored. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { checkedBody, readChecked } from "../../benchmarks/soak/checked-mail.js";
import type { Random } from "../../benchmarks/soak/random.js";
import { textOf } from "./bytes.js";
import { readCopy } from "./queue-maildir.js";
import { mail } from "./server-client.js";

/** A message for some recipients. */
export interface FaultMail {
	readonly id: string;
	readonly body: Buffer;
	readonly recipients: readonly string[];
}

/** A message with `size` bytes of text. @param recipients - How many. */
export function faultMail(id: string, size: number, recipients: number, random: Random): FaultMail {
	const addresses = Array.from({ length: recipients }, (_, index) => `r${index}@example.com`);
	return { id, body: checkedBody(id, size, random), recipients: addresses };
}

/** The message as a package, one character for each byte. */
export function packageOf({ body, recipients }: FaultMail): string {
	return mail({ message: `\n${textOf(body)}`, recipients });
}

/** What the copies of a message are called, one for each recipient in order. */
export function copiesOf({ id, recipients }: FaultMail): string[] {
	return recipients.map((recipient) => `${id} ${recipient}`);
}

/** What a file of a maildir is a copy of. @throws Error if it is not whole. */
export function copyIn(file: Buffer): string {
	const { recipient, body } = readCopy(file);
	const checked = readChecked(Buffer.from(body));
	if (checked?.whole !== true) throw new Error(`not whole: ${file.toString("latin1", 0, 500)}`);
	return `${checked.id} ${recipient}`;
}

/** What these files of a maildir's new/ are copies of. @throws Error if one is not whole. */
export async function copiesAt(maildir: string, names: readonly string[]): Promise<string[]> {
	const copies: string[] = [];
	for (const name of names) copies.push(copyIn(await readFile(join(maildir, "new", name))));
	return copies;
}

/** What a maildir holds after a turn, against what was acknowledged. */
import { readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { type CheckedMail, readChecked } from "./checked-mail.js";
import type { Tally } from "./tally.js";

/**
 * Looks for each acknowledged copy, and takes all mail out of the maildir. Whether the bytes of a file are right is
 * looked at for all small ones and some of the large ones.
 */
export function checkStored(maildir: string, accepted: readonly string[], tally: Tally): void {
	const folder = join(maildir, "new");
	const copies = new Set<string>();
	let large = 0;
	for (const name of readdirSync(folder)) {
		const path = join(folder, name);
		const isLarge = statSync(path).size > LARGE_BYTES;
		const file = readFileSync(path);
		const checked = isLarge && ++large > LARGE_ONES ? readHead(file) : readChecked(file);
		const recipient = /^Delivered-To: (.*)$/m.exec(file.toString("latin1", 0, 1000))?.[1];
		const copy = `${checked?.id} ${recipient}`;
		if (checked?.whole !== true) tally.fail("a stored message is not whole");
		if (copies.has(copy)) tally.fail("a message is stored twice");
		copies.add(copy);
		rmSync(path);
	}
	const missing = accepted.filter((copy) => !copies.has(copy)).length;
	if (missing > 0) tally.fail("an acknowledged message is missing", missing);
	const inTmp = readdirSync(join(maildir, "tmp")).length;
	if (inTmp > 0) tally.fail("a file is left in tmp/", inTmp);
	tally.count("copies looked for in the maildir", accepted.length);
	tally.count("copies stored without an answer that was read", copies.size - (accepted.length - missing));
}

/** The id, and whether the length is right. */
function readHead(file: Buffer): CheckedMail {
	const field = /^X-Checked: (\S+) (\d+) .*\n\n/m.exec(file.toString("latin1", 0, 2000));
	const [text = "", id = "", size] = field ?? [];
	return { id, whole: file.length - ((field?.index ?? 0) + text.length) === Number(size) };
}

const LARGE_BYTES = 256 * 1024;
const LARGE_ONES = 10;

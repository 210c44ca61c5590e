/** A directory like /var/qmail: control files, and a qmail-queue that stores what it gets in files. */
import { chmod, mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";

/** Control files by name; null: it is not there. Lists are lines. */
export type ControlFiles = Readonly<Record<string, string | readonly string[] | null>>;

/** One message that the stand-in for qmail-queue took. */
export interface QueuedMessage {
	readonly sender: string;
	readonly recipients: readonly string[];
	/** Latin-1, with the Received field. */
	readonly message: string;
	/** Latin-1, without the Received field. */
	readonly body: string;
}

/** Makes the directory's content below `home`. @param queue - The stand-in's text, instead of one that stores. */
export async function makeQmailHome(
	home: string,
	control: ControlFiles,
	queue: string = storingQueue(join(home, "queue")),
): Promise<void> {
	for (const name of ["control", "bin", "queue"]) await mkdir(join(home, name), { recursive: true });
	for (const [name, content] of Object.entries(control)) {
		if (content === null) continue;
		const text = typeof content === "string" ? `${content}\n` : content.map((line) => `${line}\n`).join("");
		await writeFile(join(home, "control", name), text);
	}
	const program = join(home, "bin", "qmail-queue");
	await writeFile(program, queue);
	await chmod(program, 0o755);
}

/** What was stored, in the order of the processes' numbers. */
export async function queuedMessages(home: string): Promise<QueuedMessage[]> {
	const directory = join(home, "queue");
	const names = (await readdir(directory)).filter((name) => name.endsWith(".envelope"));
	const ids = names.map((name) => Number.parseInt(name, 10)).sort((a, b) => a - b);
	return Promise.all(
		ids.map(async (id) => {
			const envelope = await readFile(join(directory, `${id}.envelope`), "latin1");
			const message = await readFile(join(directory, `${id}.message`), "latin1");
			const [sender = "", ...recipients] = envelope.split("\0").slice(0, -2);
			return {
				sender: sender.slice(1),
				recipients: recipients.map((recipient) => recipient.slice(1)),
				message,
				body: message.replace(/^Received: .*\n {2}by .*\n/, ""),
			};
		}),
	);
}

/** As qmail-queue, it takes nothing whose envelope is not whole: exit 54. */
function storingQueue(directory: string): string {
	return `#!/bin/sh
cd '${directory}' || exit 62
cat > $$.message || exit 53
cat <&1 > $$.part || exit 53
if test -s $$.part; then mv $$.part $$.envelope; else rm $$.part $$.message; exit 54; fi
`;
}

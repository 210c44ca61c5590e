/** Maildirs with mail in them, for what sends it on. */
import { existsSync } from "node:fs";
import { readdir, readFile, rename, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { onTestFinished } from "vitest";
import { maildirQueue } from "../../src/queue/maildir.js";
import { TestMaildir } from "./queue-maildir.js";
import { messageInfo } from "./queue-message-info.js";

/** A message with its envelope. One character is one byte. */
export interface TestMail {
	readonly sender?: string;
	readonly recipient: string;
	readonly body: string | Uint8Array;
}

/** A maildir that is gone when the test is over. */
export class MailBox {
	readonly path: string;

	private constructor(path: string) {
		this.path = path;
	}

	/** An empty one. */
	static async create(): Promise<MailBox> {
		const maildir = await TestMaildir.create();
		onTestFinished(() => maildir.remove());
		await maildirQueue({ path: maildir.path }).prepare();
		return new MailBox(maildir.path);
	}

	/** One with mail that our own queue has stored. The first is the oldest, by a second, and an hour old. */
	static async with(mails: readonly TestMail[]): Promise<MailBox> {
		const box = await MailBox.create();
		const queue = maildirQueue({ path: box.path });
		for (const { sender = "s@example.org", recipient, body } of mails) {
			const delivery = await queue.open(messageInfo({ addressEncoding: "latin1" }));
			await delivery.write(typeof body === "string" ? Buffer.from(body, "latin1") : body);
			await delivery.commit({ sender, recipients: [recipient] });
		}
		await queue.close?.();
		const names = await box.names();
		for (const [index, name] of names.entries()) await box.age(name, 3600 - index);
		return box;
	}

	/** So many small messages for `p-<number>@example.com`. */
	static numbered(count: number): Promise<MailBox> {
		return MailBox.with(Array.from({ length: count }, (_, index) => numberedMail(index)));
	}

	/** Writes a file as it is: a new one is there whole at once, one that is there is changed. One character is one byte. */
	async write(name: string, content: string | Uint8Array, seconds = 3600): Promise<void> {
		const unnamed = existsSync(join(this.path, name)) ? name : "being-written";
		await writeFile(
			join(this.path, unnamed),
			typeof content === "string" ? Buffer.from(content, "latin1") : content,
		);
		await this.age(unnamed, seconds);
		await rename(join(this.path, unnamed), join(this.path, name));
	}

	/** Makes a file look so many seconds old. */
	async age(name: string, seconds: number): Promise<void> {
		const time = new Date(Date.now() - seconds * 1000);
		await utimes(join(this.path, name), time, time);
	}

	/** The names of all files, with their folders. */
	async names(): Promise<string[]> {
		const names: string[] = [];
		for (const folder of ["tmp", "new", "cur"]) {
			const files = await readdir(join(this.path, folder)).catch(() => []);
			for (const file of files.sort()) names.push(`${folder}/${file}`);
		}
		return names;
	}

	/** A file's bytes, one character each. */
	async read(name: string): Promise<string> {
		return await readFile(join(this.path, name), "latin1");
	}
}

/** A small message for `p-<number>@example.com`. */
export function numberedMail(number: number): TestMail {
	return { recipient: `p-${number}@example.com`, body: `Subject: ${number}\n\nbody\n` };
}

/** A file as maildirserial wants it. */
export function mailFile(recipient: string, body = "x\n", sender = "s@example.org"): string {
	return `Return-Path: <${sender}>\nDelivered-To: ${recipient}\n${body}`;
}

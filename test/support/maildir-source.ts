/** Sources of maildirs of tests. */
import { onTestFinished } from "vitest";
import { type MaildirSource, type MaildirSourceOptions, maildirSource } from "../../src/queue/maildir.js";
import type { MailBox } from "./maildir-box.js";

/** A source that is closed when the test is over, and what it has told. */
export function sourceOf(
	box: MailBox,
	options: Partial<MaildirSourceOptions> = {},
): MaildirSource & { readonly skipped: [string, string][] } {
	const skipped: [string, string][] = [];
	const onSkipped = (name: string, reason: string) => void skipped.push([name, reason]);
	const source = maildirSource({ path: box.path, poll: 5, onSkipped, ...options });
	onTestFinished(() => source.close());
	return Object.assign(source, { skipped });
}

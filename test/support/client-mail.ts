/** Mail for tests of the client, and ways to look at what became of it. */
import { expect } from "vitest";
import type { SendOptions } from "../../src/client/client.js";
import type { SendResult } from "../../src/client/result.js";

/** A message to one recipient, unless told otherwise. */
export function mail(options: Partial<SendOptions> = {}): SendOptions {
	return { sender: "sender@example.org", recipients: ["rcpt@example.com"], message: "hello\n", ...options };
}

/** So many different recipients. */
export function recipients(count: number): string[] {
	return Array.from({ length: count }, (_, index) => `rcpt${index}@example.com`);
}

/** The statuses in one word: "KZD". */
export function statuses({ responses }: SendResult): string {
	return responses.map(({ status }) => status).join("");
}

/** What a recipient without an answer is told, for `toEqual`. */
export function unanswered(code: string, possiblyAccepted: boolean, recipient = "rcpt@example.com"): unknown {
	return expect.objectContaining({
		status: "Z",
		recipient,
		possiblyAccepted,
		error: expect.objectContaining({ code }),
	});
}

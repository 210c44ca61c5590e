/** What an SMTP door makes of what the hooks say at MAIL and RCPT. */
import { describe, expect, test } from "vitest";
import { QueueError } from "../../src/errors.js";
import type { MessageInfo } from "../../src/protocol/message-info.js";
import { accepted, deferred, rejected, type Verdict } from "../../src/protocol/response.js";
import { acceptAnyone } from "../../src/server/hooks.js";
import { openDoor, SENDER } from "../support/gateway-smtp.js";
import { Gate, turns } from "../support/server-signal.js";

const MAIL = `MAIL FROM:<${SENDER}>`;
const RCPT = "RCPT TO:<rcpt@example.com>";

describe("hooks", () => {
	const steps = ["message", "sender", "recipient"] as const;

	/** The reply to the command that asks a hook which does this. */
	async function replyTo(step: (typeof steps)[number], hook: () => Verdict | Promise<Verdict>) {
		const { greeted, faults } = await openDoor({ hooks: { recipient: acceptAnyone, [step]: hook } });
		const dialogue = await greeted();
		const [mail, rcpt] = await dialogue.askAll([MAIL, RCPT]);
		expect(step === "recipient" ? mail : rcpt).toMatch(step === "recipient" ? /^250 / : /^(503|250) /);
		return { reply: step === "recipient" ? rcpt : mail, faults };
	}

	for (const step of steps) {
		test.each<[string, Verdict, string]>([
			["nothing lets it pass", undefined, "250 Accepted"],
			["a K lets it pass, and accepts nothing", accepted(), "250 Accepted"],
			["a D is 550 with its text", rejected("no mailbox here (#5.1.1)"), "550 no mailbox here (#5.1.1)"],
			["a D about an address is 553", rejected("not so (#5.1.3)"), "553 not so (#5.1.3)"],
			["a D about a size is 552", rejected("too big (#5.3.4)"), "552 too big (#5.3.4)"],
			["a Z is 451", deferred("come again (#4.2.1)"), "451 come again (#4.2.1)"],
			["what is not ASCII is no text of a reply", rejected("ge\xe4ndert (#5.1.1)"), "550 ge?ndert (#5.1.1)"],
		])(`${step}: %s`, async (_, verdict, reply) => {
			expect(await replyTo(step, () => verdict)).toEqual({ reply, faults: [] });
			expect(await replyTo(step, async () => verdict)).toEqual({ reply, faults: [] });
		});

		test.each<[string, unknown, string]>([
			["an error is 451", new Error("secret"), "451 temporary failure (#4.3.0)"],
			[
				"a QueueError is 451 with its text",
				new QueueError("ERR_QMTP_QUEUE", "full (#4.3.1)"),
				"451 full (#4.3.1)",
			],
			[
				"a permanent one is 550",
				new QueueError("ERR_QMTP_QUEUE", "never (#5.3.0)", { permanent: true }),
				"550 never (#5.3.0)",
			],
		])(`${step}, thrown: %s, and a fault`, async (_, thrown, reply) => {
			const hook = () => {
				throw thrown;
			};
			expect(await replyTo(step, hook)).toMatchObject({ reply, faults: [{ error: thrown }] });
			expect(await replyTo(step, () => Promise.reject(thrown))).toMatchObject({ reply });
		});
	}

	test("what is no response is 451 and a fault", async () => {
		const { reply, faults } = await replyTo("sender", () => false as unknown as Verdict);
		expect(reply).toBe("451 a hook's answer is no response (#4.3.0)");
		expect(faults).toMatchObject([{ error: { code: "ERR_QMTP_HOOK" }, context: { message: {} } }]);
	});

	test("message comes before sender, both with what MAIL said, and one message has one info", async () => {
		const calls: [string, MessageInfo][] = [];
		const { greeted, queue } = await openDoor({
			hooks: {
				authorize: () => ({ relay: true }),
				message: (message) => void calls.push(["message", message]),
				sender: (address, message) => void calls.push([address, message]),
				recipient: (address, message) => void calls.push([address, message]),
			},
		});
		const dialogue = await greeted();
		await dialogue.askAll([`${MAIL} SIZE=7 BODY=8BITMIME`, RCPT, "DATA", "hello\r\n."]);
		expect(calls.map(([what]) => what)).toEqual(["message", SENDER, "rcpt@example.com"]);
		const infos = new Set([...calls.map(([, message]) => message), queue.commits[0]?.info]);
		expect([...infos]).toMatchObject(
			[{ encoding: "crlf", length: 7, exact: false, access: { relay: true }, id: /^\d+$/ }].map((info) => ({
				...info,
				id: expect.stringMatching(info.id),
			})),
		);
		await dialogue.ask(MAIL);
		expect(calls.at(-1)?.[1].length).toBeUndefined();
		expect(calls.at(-1)?.[1].id).not.toBe(queue.commits[0]?.info.id);
	});

	test("a client that leaves while a hook is awaited harms nobody", async () => {
		const gate = new Gate<Verdict>();
		const asked = new Gate();
		const { greeted, faults } = await openDoor({
			hooks: {
				sender: () => {
					asked.open();
					return gate.promise;
				},
			},
		});
		const dialogue = await greeted();
		dialogue.send(`${MAIL}\r\n`);
		await asked.promise;
		dialogue.socket.destroy();
		await dialogue.end();
		gate.open(undefined);
		await turns();
		expect(await (await greeted()).ask("NOOP")).toMatch(/^250/);
		expect(faults).toEqual([]);
	});
});

/** What an SMTP door says for what the queue says, and what it does when either side fails. */
import { describe, expect, test } from "vitest";
import { QueueError, TransportError } from "../../src/errors.js";
import { accepted, deferred, type QmtpResponse, rejected } from "../../src/protocol/response.js";
import { openDoor } from "../support/gateway-smtp.js";
import type { QueuePlan } from "../support/server-queue.js";
import { Gate, settled, turns } from "../support/server-signal.js";

const MIB = 1024 * 1024;
const [A, B, C] = ["a@example.com", "b@example.com", "c@example.com"];

/** What a message for `recipients` is answered with by a queue that does this. */
async function answered(plan: QueuePlan, recipients: readonly string[] = [A, B, C], timeouts = {}) {
	const { greeted, faults, queue, packages } = await openDoor({ plan, timeouts });
	const dialogue = await greeted();
	const reply = await dialogue.message("hello\r\n", recipients);
	expect(await dialogue.ask("NOOP")).toMatch(/^250/);
	const codes = faults.map(({ error }) => (error as QueueError).code ?? error.message);
	return { reply, codes, queue, packages };
}

describe("the queue's responses", () => {
	const no = rejected("no mailbox (#5.1.1)");
	const later = deferred("come again (#4.2.1)");

	test.each<[string, QmtpResponse[], string]>([
		["K for all is 250 with the first text", [accepted("ok 1"), accepted("ok 2"), accepted()], "250 ok 1"],
		["one Z is 451 for all", [accepted(), later, accepted()], "451 come again (#4.2.1)"],
		["a Z is more than a D", [no, later, accepted()], "451 come again (#4.2.1)"],
		[
			"one D is 554 for all, and says for whom",
			[accepted(), no, accepted()],
			`554 not accepted for ${B}: no mailbox (#5.1.1)`,
		],
		[
			"different Ds are all named",
			[no, accepted(), rejected("never (#5.7.0)")],
			`554 not accepted for ${A}: no mailbox (#5.1.1); ${C}: never (#5.7.0)`,
		],
		["the same D for all is its text", [no, no, no], "554 no mailbox (#5.1.1)"],
		["a D about the size is 552", Array(3).fill(rejected("big (#5.3.4)")), "552 big (#5.3.4)"],
	])("%s", async (_, responses, reply) => {
		const { packages, ...rest } = await answered({ commit: async () => responses });
		expect(rest).toMatchObject({ reply, codes: [] });
		expect(packages).toMatchObject([{ recipients: [A, B, C], responses }]);
	});

	test("a reply is one line of 512 bytes at most, whatever the descriptions are", async () => {
		const recipients = Array.from({ length: 100 }, (_, index) => `rcpt${index}@example.com`);
		const responses = recipients.map((_, index) =>
			index === 0 ? accepted() : rejected(`no\r\n250 ok ${index}`),
		);
		const { reply } = await answered({ commit: async () => responses }, recipients);
		expect(reply.length).toBe(504);
		expect(reply).toMatch(/^554 not accepted for rcpt1@example\.com: no {2}250 ok 1; .*\.\.\.$/);
	});

	test.each<[string, unknown]>([
		["too few", [accepted()]],
		["none", []],
		["no list", undefined],
		["something else", [accepted(), "K", accepted()]],
	])("a wrong number of them, or wrong ones, is a fault and never 250: %s", async (_, responses) => {
		const { reply, codes } = await answered({ commit: async () => responses });
		expect(reply).toBe("451 the queue did not say what became of the message (#4.3.0)");
		expect(codes).toEqual(["ERR_QMTP_QUEUE_RESPONSES"]);
	});
});

describe("a queue that fails", () => {
	const failures: [string, unknown, string, string][] = [
		["an error", new Error("disk"), "451 temporary failure (#4.3.0)", "disk"],
		[
			"a QueueError",
			new QueueError("ERR_QMTP_QUEUE_FULL", "mail system full (#4.3.1)"),
			"451 mail system full (#4.3.1)",
			"ERR_QMTP_QUEUE_FULL",
		],
		[
			"a permanent one",
			new QueueError("ERR_QMTP_QUEUE", "never (#5.3.0)", { permanent: true }),
			"554 never (#5.3.0)",
			"ERR_QMTP_QUEUE",
		],
	];

	for (const step of ["open", "write", "commit"] as const) {
		for (const kind of ["throws", "rejects"] as const) {
			test.each(failures)(
				`%s that its ${step} ${kind} is the answer, and a fault`,
				async (_, error, reply, code) => {
					const fail = () => {
						if (kind === "throws") throw error;
						return Promise.reject(error);
					};
					const result = await answered({ [step]: fail });
					expect(result).toMatchObject({ reply, codes: [code] });
					expect(result.queue.count("abort")).toBe(step === "write" ? 1 : 0);
				},
			);
		}
	}

	test("an abort that fails is a fault, and the answer is the first one's", async () => {
		const plan = {
			write: () => Promise.reject(new Error("disk")),
			abort: () => Promise.reject(new Error("gone")),
		};
		expect(await answered(plan)).toMatchObject({
			reply: "451 temporary failure (#4.3.0)",
			codes: ["disk", "gone"],
		});
	});

	test("a queue that opens nothing is a fault", async () => {
		expect(await answered({ open: () => undefined })).toMatchObject({
			reply: "451 the queue opened no delivery (#4.3.0)",
		});
	});

	test("a commit that takes too long is 451 and a fault, and its late result is dropped", async () => {
		const { reply, codes, queue, packages } = await answered({ hold: true }, [A], { commit: 20 });
		expect(reply).toBe("451 the message was not stored in time (#4.3.0)");
		expect(codes).toEqual(["ERR_QMTP_QUEUE_COMMIT_TIMEOUT"]);
		queue.release();
		await turns();
		expect(packages).toHaveLength(1);
	});

	test("a listener that throws is a fault, and ends nothing", async () => {
		const { door, greeted, faults } = await openDoor({
			plan: { open: () => Promise.reject(new Error("disk")) },
		});
		door.on("package", () => {
			throw new Error("listener");
		});
		expect(await (await greeted()).message()).toMatch(/^451/);
		expect(faults.map(({ error }) => error.message)).toEqual(["disk", "listener"]);
	});
});

describe("a client that leaves", () => {
	test.each([
		["closes", (socket: { end(): void }) => socket.end()],
		["resets", (socket: { resetAndDestroy(): void }) => socket.resetAndDestroy()],
	])(
		"in the middle of a body and %s: the delivery is aborted, and nobody is told of a package",
		async (_, leave) => {
			const { greeted, queue, faults, packages } = await openDoor();
			const dialogue = await greeted();
			await dialogue.envelope();
			dialogue.send("hello\r\nwor");
			await queue.called("write");
			leave(dialogue.socket);
			await queue.called("abort");
			const [reason] = queue.deliveries[0]?.aborts ?? [];
			expect(reason).toBeInstanceOf(TransportError);
			expect((reason as TransportError).code).toBe("ERR_QMTP_CONNECTION_CLOSED");
			expect([faults, packages, queue.commits]).toEqual([[], [], []]);
		},
	);

	test("while the queue opens: the delivery is aborted", async () => {
		const gate = new Gate();
		const { greeted, queue, faults } = await openDoor({
			plan: { open: (_, usual) => gate.promise.then(usual) },
		});
		const dialogue = await greeted();
		await dialogue.envelope();
		dialogue.send("hello\r\n");
		await queue.called("open");
		dialogue.socket.resetAndDestroy();
		await dialogue.end();
		await turns();
		gate.open();
		await queue.called("abort");
		expect(faults).toEqual([]);
	});

	test("while a write is awaited: the delivery is aborted when the write is done", async () => {
		const gate = new Gate();
		const { greeted, queue } = await openDoor({ plan: { write: () => gate.promise } });
		const dialogue = await greeted();
		await dialogue.envelope();
		dialogue.send("hello\r\n");
		await queue.called("write");
		dialogue.socket.resetAndDestroy();
		await turns();
		expect(queue.count("abort")).toBe(0);
		gate.open();
		await queue.called("abort");
	});

	test("after the last dot: the message stays", async () => {
		const { greeted, queue, door } = await openDoor({ plan: { hold: true } });
		const dialogue = await greeted();
		await dialogue.envelope();
		dialogue.send("hello\r\n.\r\n");
		await queue.called("commit");
		dialogue.socket.resetAndDestroy();
		const closed = door.close();
		queue.release();
		await closed;
		expect(queue.count("abort")).toBe(0);
	});

	test("between two messages: nothing is open", async () => {
		const { greeted, queue } = await openDoor();
		const dialogue = await greeted();
		await dialogue.askAll(["MAIL FROM:<>", `RCPT TO:<${A}>`, "RSET", "DATA"]);
		dialogue.socket.end();
		await dialogue.end();
		expect(queue.calls).toEqual([]);
	});
});

describe("a slow queue", () => {
	test("makes the client wait, and memory stays bounded", async () => {
		const gate = new Gate();
		const { door, greeted, queue } = await openDoor({ plan: { write: () => gate.promise } });
		const dialogue = await greeted();
		await dialogue.envelope();
		const size = 48 * MIB; // more than the kernel's buffers take
		for (let sent = 0; sent < size; sent += MIB) dialogue.socket.write(Buffer.alloc(MIB, "x"));
		dialogue.send("\r\n.\r\n");
		await queue.called("write");
		const [{ _socket: socket }] = [...door.connections] as unknown as [{ _socket: { bytesRead: number } }];
		expect(await settled(() => socket.bytesRead)).toBeLessThan(MIB);
		expect(queue.count("write")).toBe(1);
		gate.open();
		expect(await dialogue.reply()).toBe("250 ok");
		expect(queue.commits[0]?.text).toHaveLength(size + 1);
	});

	test("each write is awaited before the next, and commit comes after the last", async () => {
		let underWay = 0;
		const { greeted, queue } = await openDoor({
			plan: {
				async write() {
					expect(underWay++).toBe(0);
					await turns(2);
					underWay--;
				},
				async commit(envelope) {
					expect(underWay).toBe(0);
					return envelope.recipients.map(() => accepted());
				},
			},
		});
		expect(await (await greeted()).message("..x\r\n".repeat(1000))).toBe("250 ok");
		expect(queue.commits[0]?.text).toBe(".x\n".repeat(1000));
	});

	test("what is pipelined behind a message waits for its commit", async () => {
		const { greeted, queue } = await openDoor({ plan: { hold: true } });
		const dialogue = await greeted();
		await dialogue.envelope();
		dialogue.send(`hello\r\n.\r\nMAIL FROM:<>\r\nRCPT TO:<${A}>\r\nDATA\r\n`);
		await queue.called("commit");
		const before = dialogue.replies.length;
		await turns();
		expect(dialogue.replies).toHaveLength(before);
		queue.release();
		await dialogue.changes.until(() => dialogue.replies.length === before + 4);
		dialogue.send("again\r\n.\r\n");
		await queue.called("commit", 2);
		queue.release();
		await dialogue.changes.until(() => dialogue.replies.length === before + 5);
		expect(queue.commits.map(({ text }) => text)).toEqual(["hello\n", "again\n"]);
	});
});

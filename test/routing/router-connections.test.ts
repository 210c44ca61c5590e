/** How deliveries share connections and how these end, and that results stand in the order of the recipients. */
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { rejected } from "../../src/protocol/response.js";
import { acceptAnyone } from "../../src/server/hooks.js";
import { noUnhandledRejections } from "../support/client-rejections.js";
import {
	freshAddress,
	outcomes,
	qmtpHost,
	routed,
	routerFor,
	scriptedHost,
	smtpHost,
	type Zone,
} from "../support/router-hosts.js";
import { TestQueue } from "../support/server-queue.js";
import { Gate } from "../support/server-signal.js";

noUnhandledRejections();

/** Domains `0.example` to `N.example`, whose exchanges are at these addresses in turn. */
function domains(count: number, addresses: readonly string[], preference = 12801): Zone {
	const names = Array.from({ length: count }, (_, index) => `${index}.example`);
	return {
		mx: Object.fromEntries(
			names.map((name, index) => [name, [`${preference} mx${index % addresses.length}.example`]]),
		),
		addresses: Object.fromEntries(addresses.map((address, index) => [`mx${index}.example`, [address]])),
	};
}

describe("results", () => {
	test("stand in the order of the recipients, whatever their domains, equal addresses included", async () => {
		const [one, two] = [freshAddress(), freshAddress()];
		const qmtp = await qmtpHost(one, {
			hooks: {
				recipient: (recipient) => (recipient.startsWith("d") ? rejected("no (#5.1.1)") : acceptAnyone()),
			},
		});
		const smtp = await smtpHost(two, { RCPT: (_, line) => (line.includes("<d") ? "550 no" : "250 ok") });
		const { router } = routerFor({
			mx: { "q.example": ["12801 a.example"], "s.example": ["10 b.example"] },
			addresses: { "a.example": [one], "b.example": [two] },
		});
		const recipients = [
			"a@q.example",
			"b@s.example",
			"nobody",
			"d@q.example",
			"d@s.example",
			"a@q.example",
			"b@S.example",
			"c@no.example",
			"b@s.example",
		];
		const result = await router.deliver(routed({ recipients }));
		expect(result.responses.map(({ recipient }) => recipient)).toEqual(recipients);
		expect(outcomes(result)).toEqual([
			`K qmtp ${one}`,
			`K smtp ${two}`,
			"D",
			`D qmtp ${one}`,
			`D smtp ${two}`,
			`K qmtp ${one}`,
			`K smtp ${two}`,
			"D ERR_QMTP_DNS_NAME",
			`K smtp ${two}`,
		]);
		expect(result.accepted).toEqual([
			"a@q.example",
			"b@s.example",
			"a@q.example",
			"b@S.example",
			"b@s.example",
		]);
		expect(result.rejected).toEqual(["nobody", "d@q.example", "d@s.example", "c@no.example"]);
		expect(qmtp.mail).toEqual(["Subject: hello\n\nhello\n for a@q.example, a@q.example"]);
		expect(smtp.messages).toHaveLength(1);
	});

	test("of 1,000 recipients on 300 domains with 10 exchanges, over 10 connections", async () => {
		const warnings: Error[] = [];
		const note = (warning: Error) => warnings.push(warning);
		process.on("warning", note);
		onTestFinished(() => {
			process.off("warning", note);
		});
		const addresses = Array.from({ length: 10 }, freshAddress);
		const hosts = await Promise.all(addresses.map((address) => qmtpHost(address)));
		const { router, resolver } = routerFor(domains(300, addresses));
		const recipients = Array.from({ length: 1000 }, (_, index) => `r${index}@${(index * 7) % 300}.example`);
		const { signal } = new AbortController();
		const result = await router.deliver(routed({ recipients }), { signal });
		expect(warnings).toEqual([]); // of more listeners than Node likes
		expect(result.responses.map(({ recipient, status }) => status + recipient)).toEqual(
			recipients.map((one) => `K${one}`),
		);
		expect(result.responses.map(({ address }) => address)).toEqual(
			recipients.map((_, index) => addresses[((index * 7) % 300) % 10]),
		);
		expect(hosts.map(({ connections }) => connections)).toEqual(hosts.map(() => 1));
		expect(hosts.flatMap(({ mail }) => mail)).toHaveLength(300); // one message a domain
		expect(resolver.questions.filter((question) => question.startsWith("mx "))).toHaveLength(300);
	});

	test("no more than 100 domains are looked up at once", async () => {
		const gate = new Gate<string[]>();
		const told = () => gate.promise;
		const names = Array.from({ length: 250 }, (_, index) => `${index}.example`);
		const { router, resolver } = routerFor({ mx: Object.fromEntries(names.map((name) => [name, told])) });
		const call = router.deliver(routed({ recipients: names.map((name) => `a@${name}`) }));
		await resolver.changes.until(() => resolver.questions.length >= 100);
		expect(resolver.questions).toHaveLength(100);
		gate.open(["0 "]);
		expect((await call).rejected).toHaveLength(250);
		expect(resolver.questions).toHaveLength(250);
	});
});

describe("one connection", () => {
	test.each([
		["QMTP", 12801],
		["SMTP", 10],
	])("is shared by domains that have the same exchange, by %s", async (_, preference) => {
		const address = freshAddress();
		const [qmtp, smtp] = [await qmtpHost(address), await smtpHost(address, {})];
		const { router } = routerFor(domains(5, [address], preference));
		const recipients = Array.from({ length: 10 }, (_, index) => `r${index}@${index % 5}.example`);
		const { accepted } = await router.deliver(routed({ recipients }));
		expect(accepted).toEqual(recipients);
		expect(await router.deliver(routed({ recipients }))).toMatchObject({ accepted: recipients });
		expect([qmtp.connections, smtp.peers.length]).toEqual(preference === 10 ? [0, 1] : [1, 0]);
		expect(qmtp.mail.length + smtp.messages.length).toBe(10);
	});

	test("is shared by exchanges of different names at one address, by QMTP", async () => {
		const address = freshAddress();
		const qmtp = await qmtpHost(address);
		const { router } = routerFor({
			mx: { "a.example": ["12801 mx.a.example"], "b.example": ["12801 mx.b.example"] },
			addresses: { "mx.a.example": [address], "mx.b.example": [address] },
		});
		const { responses } = await router.deliver(routed({ recipients: ["a@a.example", "b@b.example"] }));
		expect(responses.map(({ status, host }) => [status, host])).toEqual([
			["K", "mx.a.example"],
			["K", "mx.b.example"],
		]);
		expect(qmtp.connections).toBe(1);
	});

	test("takes 50 deliveries at once, one behind the other without waiting for answers", async () => {
		const address = freshAddress();
		const queue = new TestQueue({ hold: true });
		const qmtp = await qmtpHost(address, { queue });
		const { router } = routerFor(domains(1, [address]));
		const recipients = Array.from({ length: 50 }, (_, index) => `r${index}@0.example`);
		const calls = recipients.map((recipient) => router.deliver(routed({ recipients: [recipient] })));
		await queue.called("commit", 50); // none has an answer
		queue.release();
		expect((await Promise.all(calls)).map(({ accepted }) => accepted)).toEqual(
			recipients.map((one) => [one]),
		);
		expect(qmtp.connections).toBe(1);
	});

	test("is closed when it was idle, and the next delivery has a new one", async () => {
		const [one, two] = [freshAddress(), freshAddress()];
		const [qmtp, smtp] = [await qmtpHost(one), await smtpHost(two, {})];
		const { router } = routerFor(
			{
				mx: { "a.example": ["12801 a.example"], "b.example": ["1 b.example"] },
				addresses: { "a.example": [one], "b.example": [two] },
			},
			{ timeouts: { idle: 30 } },
		);
		const recipients = ["a@a.example", "b@b.example"];
		for (const round of [1, 2]) {
			expect((await router.deliver(routed({ recipients }))).accepted).toEqual(recipients);
			expect([qmtp.connections, smtp.peers.length]).toEqual([round, round]);
			await qmtp.changes.until(() => qmtp.server.connections === 0);
			await smtp.peers.at(-1)?.gone();
			expect(smtp.peers.at(-1)?.commands.at(-1)).toBe("QUIT");
		}
	});

	test("that the server closed while it was idle is no failure", async () => {
		const address = freshAddress();
		const qmtp = await scriptedHost(address, async (connection) => {
			await connection.received();
			connection.write("3:Kok,");
			connection.socket.end();
		});
		const smtp = await smtpHost(address, {});
		const { router } = routerFor(domains(1, [address]));
		for (const round of [1, 2, 3]) {
			expect(outcomes(await router.deliver(routed({ recipients: ["a@0.example"] })))).toEqual([
				`K qmtp ${address}`,
			]);
			const connection = qmtp.connections.at(-1);
			await connection?.changes.until(() => connection.closed);
			expect(qmtp.connections).toHaveLength(round);
		}
		expect(smtp.peers).toHaveLength(0);
	});

	test("to a server that answers once a package is found out once, also when it was closed meanwhile", async () => {
		const address = freshAddress();
		const qmtp = await scriptedHost(address, (connection) => connection.answerAll(() => "3:Kok,"));
		const { router } = routerFor(domains(1, [address]), { timeouts: { response: 200 } });
		const recipients = ["a@0.example", "b@0.example", "c@0.example"];
		vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
		onTestFinished(() => {
			vi.useRealTimers();
		});
		const first = await router.deliver(routed({ recipients }));
		expect(first.responses.map(({ status, error }) => [status, error?.code])).toEqual(
			recipients.map(() => ["Z", "ERR_QMTP_RESPONSE_COUNT"]),
		);
		for (const round of [2, 3]) {
			vi.advanceTimersByTime(60_000); // the client is let go of, and its connection with it
			const connection = qmtp.connections.at(-1);
			await connection?.gone();
			expect((await router.deliver(routed({ recipients }))).accepted).toEqual(recipients);
			expect(qmtp.connections).toHaveLength(round);
		}
	});
});

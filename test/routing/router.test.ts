/** Where the router takes mail: which exchange, by which protocol, and what it goes on after. */
import { describe, expect, test } from "vitest";
import { deferred, rejected } from "../../src/protocol/response.js";
import { acceptAnyone } from "../../src/server/hooks.js";
import { noUnhandledRejections } from "../support/client-rejections.js";
import {
	freshAddress,
	oneExchange,
	outcomes,
	PORTS,
	qmtpHost,
	routed,
	routerFor,
	scriptedHost,
	smtpHost,
} from "../support/router-hosts.js";
import { certificate, npmServer } from "../support/smtp-tls.js";

noUnhandledRejections();

const MESSAGE = "Subject: hello\n\nhello\n";

describe("the protocol", () => {
	test.each([12801, 12817, 13041])(
		"is QMTP at preference %d, though SMTP is there too",
		async (preference) => {
			const address = freshAddress();
			const [qmtp, smtp] = [await qmtpHost(address), await smtpHost(address, {})];
			const { router } = routerFor(oneExchange(address, preference));
			const { responses, accepted } = await router.deliver(routed());
			expect(responses).toEqual([
				{
					recipient: "a@example.com",
					status: "K",
					description: expect.any(String),
					protocol: "qmtp",
					host: "mx.example.com",
					address,
					tried: [],
				},
			]);
			expect(accepted).toEqual(["a@example.com"]);
			expect(qmtp.mail).toEqual([`${MESSAGE} for a@example.com`]);
			expect(smtp.peers).toHaveLength(0);
		},
	);

	test.each([0, 10, 12800, 12802, 12816, 13057, 65535])(
		"is SMTP at preference %d, though QMTP is there too",
		async (preference) => {
			const address = freshAddress();
			const [qmtp, smtp] = [await qmtpHost(address), await smtpHost(address, {})];
			const { router } = routerFor(oneExchange(address, preference));
			expect(outcomes(await router.deliver(routed()))).toEqual([`K smtp ${address}`]);
			expect(smtp.messages).toEqual([
				{
					mail: "MAIL FROM:<sender@example.org> BODY=8BITMIME",
					rcpt: ["RCPT TO:<a@example.com>"],
					data: MESSAGE.replaceAll("\n", "\r\n"),
				},
			]);
			expect(qmtp.connections).toBe(0);
			expect(smtp.peers[0]?.commands[0]).toBe("EHLO router.test");
		},
	);
});

describe("the order", () => {
	test("is that of the preferences, and what refuses connections is passed over, by QMTP and by SMTP", async () => {
		const [one, two, three] = [freshAddress(), freshAddress(), freshAddress()];
		await qmtpHost(three);
		const { router } = routerFor({
			mx: { "example.com": ["12817 c.example", "12801 b.example", "5 a.example"] },
			addresses: { "a.example": [one], "b.example": [two], "c.example": [three] },
		});
		expect(outcomes(await router.deliver(routed()))).toEqual([
			[
				`K qmtp ${three}`,
				`smtp ${one} ERR_QMTP_CONNECT`,
				`qmtp ${two} ERR_QMTP_CONNECT`,
				`smtp ${two} ERR_QMTP_CONNECT`,
			].join(" < "),
		]);
	});

	test("is SMTP at the same address, the next address, and then the next exchange", async () => {
		const addresses = [freshAddress(), freshAddress(), freshAddress(), freshAddress()] as const;
		const [one, two, three, four] = addresses;
		const { router } = routerFor({
			mx: { "example.com": ["12801 a.example", "12817 b.example"] },
			addresses: { "a.example": [one, two], "b.example": [three, four] },
		});
		const result = await router.deliver(routed());
		const [response] = result.responses;
		expect(response).toMatchObject({
			status: "Z",
			description: "Sorry, I wasn't able to establish a connection. (#4.4.1)",
			error: { code: "ERR_QMTP_CONNECT" },
			possiblyAccepted: false,
		});
		expect(response?.protocol).toBeUndefined();
		expect(
			response?.tried.map(({ protocol, host, address, port }) => [protocol, host, address, port]),
		).toEqual(
			addresses.flatMap((address, index) => [
				["qmtp", index < 2 ? "a.example" : "b.example", address, PORTS.qmtp],
				["smtp", index < 2 ? "a.example" : "b.example", address, PORTS.smtp],
			]),
		);
		expect(result.deferred).toEqual(["a@example.com"]);
	});

	test.each([1, 2, 3, 4])("goes no further than the first of four that takes it, the %dth", async (good) => {
		const [one, two] = [freshAddress(), freshAddress()];
		const place = (number: number) => (number <= 2 ? one : two);
		for (let number = good; number <= 4; number++) {
			if (number % 2 === 1) await qmtpHost(place(number));
			else await smtpHost(place(number), {});
		}
		const { router } = routerFor({
			mx: { "example.com": ["12801 a.example"] },
			addresses: { "a.example": [one, two] },
		});
		const [response] = (await router.deliver(routed())).responses;
		expect(response).toMatchObject({
			status: "K",
			protocol: good % 2 === 1 ? "qmtp" : "smtp",
			address: place(good),
		});
		expect(response?.tried).toHaveLength(good - 1);
	});

	test("of equal preferences is by chance", async () => {
		const [one, two] = [freshAddress(), freshAddress()];
		await smtpHost(one, {});
		await smtpHost(two, {});
		const zone = {
			mx: { "example.com": ["10 a.example", "10 b.example"] },
			addresses: { "a.example": [one], "b.example": [two] },
		};
		const first = routerFor(zone, { random: () => 0 }).router;
		const second = routerFor(zone, { random: () => 0.99 }).router;
		const found = [await first.deliver(routed()), await second.deliver(routed())].flatMap(outcomes);
		expect(found.sort()).toEqual([`K smtp ${one}`, `K smtp ${two}`]);
	});

	test("leaves out this host, and all that are no better", async () => {
		const address = freshAddress();
		await qmtpHost(address);
		const zone = (...mx: string[]) => ({
			mx: { "example.com": mx },
			addresses: { "a.example": [address], "Router.Test": [address], "b.example": [freshAddress()] },
		});
		const better = routerFor(zone("12801 a.example", "12817 Router.Test.", "12833 b.example"));
		expect(outcomes(await better.router.deliver(routed()))).toEqual([`K qmtp ${address}`]);
		const best = routerFor(zone("12801 router.test", "12801 a.example"), { hostname: "ROUTER.TEST." });
		const { responses } = await best.router.deliver(routed());
		expect(responses).toMatchObject([
			{ status: "D", description: expect.stringMatching(/\(#5\.4\.6\)$/), tried: [] },
		]);
		expect(best.resolver.questions).toEqual(["mx example.com"]);
		const asked: string[] = [];
		const isOurself = (exchange: string) => {
			asked.push(exchange);
			return exchange === "a.example";
		};
		const told = routerFor(zone("12801 A.Example."), { isOurself });
		expect(outcomes(await told.router.deliver(routed()))).toEqual(["D"]);
		expect(asked).toEqual(["a.example"]);
	});
});

describe("an answer is final, and SMTP is not tried, if a QMTP server", () => {
	const ends: Record<
		string,
		[script: Parameters<typeof scriptedHost>[1], status: string, possibly: boolean | undefined]
	> = {
		"closes at once": [({ socket }) => socket.destroy(), "Z", undefined],
		"resets when it has the package": [
			async (connection) => {
				await connection.received();
				connection.socket.resetAndDestroy();
			},
			"Z",
			true,
		],
		"closes when it has the package": [
			async (connection) => {
				await connection.received();
				connection.socket.end();
			},
			"Z",
			true,
		],
		"answers garbage": [
			async (connection) => {
				await connection.received();
				connection.write("220 smtp.example ESMTP\r\n");
			},
			"Z",
			true,
		],
		"greets like an SMTP server": [
			(connection) => connection.write("220 smtp.example ESMTP\r\n"),
			"Z",
			undefined,
		],
		"answers Z": [(connection) => connection.answerAll(() => "10:Zgo away 4,"), "Z", undefined],
		"answers D": [(connection) => connection.answerAll(() => "10:Dgo away 5,"), "D", undefined],
	};
	test.each(Object.keys(ends))("%s", async (name) => {
		const [script, status, possibly] = ends[name] as (typeof ends)[string];
		const [address, other] = [freshAddress(), freshAddress()];
		const qmtp = await scriptedHost(address, script);
		const [smtp, next] = [await smtpHost(address, {}), await qmtpHost(other)];
		const { router } = routerFor({
			mx: { "example.com": ["12801 a.example", "12817 b.example"] },
			addresses: { "a.example": [address], "b.example": [other] },
		});
		const { responses } = await router.deliver(routed());
		expect(responses).toMatchObject([{ status, protocol: "qmtp", host: "a.example", address, tried: [] }]);
		if (possibly !== undefined) expect(responses[0]?.possiblyAccepted).toBe(possibly);
		expect(qmtp.connections.length).toBeGreaterThan(0);
		expect(smtp.peers).toHaveLength(0);
		expect(next.connections).toBe(0);
	});

	test("is lost inside a package and then refuses connections", async () => {
		const address = freshAddress();
		const qmtp = await scriptedHost(address, async (connection) => {
			await connection.receivedBytes(100_000);
			qmtp.stopListening();
			connection.socket.resetAndDestroy();
		});
		const smtp = await smtpHost(address, {});
		const { router } = routerFor(oneExchange(address, 12801));
		const message = Buffer.alloc(8_000_000, "x\n");
		expect(outcomes(await router.deliver(routed({ message })))).toEqual([
			`Z qmtp ${address} ERR_QMTP_CONNECT`,
		]);
		expect(smtp.peers).toHaveLength(0);
	});

	test("our own server answers for each recipient, with K, Z and D", async () => {
		const address = freshAddress();
		const smtp = await smtpHost(address, {});
		const qmtp = await qmtpHost(address, {
			hooks: {
				recipient: (recipient) => {
					if (recipient.startsWith("z")) return deferred("later (#4.2.1)");
					return recipient.startsWith("d") ? rejected("no (#5.1.1)") : acceptAnyone();
				},
			},
		});
		const { router } = routerFor(oneExchange(address, 12801));
		const recipients = ["d@example.com", "k@example.com", "z@example.com", "k2@example.com"];
		const result = await router.deliver(routed({ recipients }));
		expect(result.responses.map(({ status }) => status).join("")).toBe("DKZK");
		expect(result).toMatchObject({
			accepted: ["k@example.com", "k2@example.com"],
			deferred: ["z@example.com"],
			rejected: ["d@example.com"],
		});
		expect(result.responses[2]).toMatchObject({ description: "later (#4.2.1)" });
		expect(qmtp.mail).toEqual([`${MESSAGE} for k@example.com, k2@example.com`]);
		expect(smtp.peers).toHaveLength(0);
	});
});

describe("an SMTP server", () => {
	const twoHosts = async (...scripts: Parameters<typeof smtpHost>[1][]) => {
		const [one, two] = [freshAddress(), freshAddress()];
		const hosts = [await smtpHost(one, ...scripts), await smtpHost(two, {})] as const;
		const { router } = routerFor(
			{
				mx: { "example.com": ["10 a.example", "20 b.example"] },
				addresses: { "a.example": [one], "b.example": [two] },
			},
			{ timeouts: { response: 300 } },
		);
		return { one, two, router, first: hosts[0], second: hosts[1] };
	};

	const sessions: Record<string, [script: Parameters<typeof smtpHost>[1], code: string]> = {
		"refuses the session with 554": [{ greeting: "554 5.7.1 go away" }, "ERR_QMTP_CONNECT"],
		"refuses the session with 421": [{ greeting: "421 too busy" }, "ERR_QMTP_CONNECT"],
		"refuses EHLO and HELO": [{ EHLO: "550 no", HELO: "550 no" }, "ERR_QMTP_CONNECT"],
		"closes instead of greeting": [{ greeting: hangUp }, "ERR_QMTP_CONNECTION_CLOSED"],
		"never greets": [{ greeting: null }, "ERR_QMTP_RESPONSE_TIMEOUT"],
		"closes at MAIL": [{ MAIL: hangUp }, "ERR_QMTP_CONNECTION_CLOSED"],
		"closes at RCPT": [{ RCPT: hangUp }, "ERR_QMTP_CONNECTION_CLOSED"],
		"closes at DATA": [{ DATA: hangUp }, "ERR_QMTP_CONNECTION_CLOSED"],
	};
	test.each(Object.keys(sessions))("that %s is passed over, since it has not got the mail", async (name) => {
		const [script, code] = sessions[name] as (typeof sessions)[string];
		const { one, two, router, first, second } = await twoHosts(script);
		expect(outcomes(await router.deliver(routed()))).toEqual([`K smtp ${two} < smtp ${one} ${code}`]);
		expect(first.messages).toEqual([]);
		expect(second.messages).toHaveLength(1);
	});

	test("that closes instead of answering the message is not passed over: it may have it", async () => {
		const { one, router, second } = await twoHosts({ message: hangUp });
		const { responses } = await router.deliver(routed());
		expect(responses).toMatchObject([{ status: "Z", address: one, possiblyAccepted: true, tried: [] }]);
		expect(second.peers).toHaveLength(0);
	});

	test.each([
		["450 4.2.0 later", "Z"],
		["550 5.1.1 no", "D"],
	])("that answers %s at any step has answered", async (answer, status) => {
		for (const step of ["MAIL", "RCPT", "DATA", "message"]) {
			const { one, router, second } = await twoHosts({ [step]: answer });
			const { responses } = await router.deliver(routed());
			expect(responses, step).toMatchObject([
				{ status, protocol: "smtp", address: one, description: answer },
			]);
			expect(second.peers, step).toHaveLength(0);
		}
	});

	test("answers for each recipient", async () => {
		const { router, first } = await twoHosts({
			RCPT: (_, line) => (line.includes("<z") ? "451 later" : line.includes("<d") ? "550 no" : "250 ok"),
		});
		const recipients = ["d@example.com", "k@example.com", "z@example.com", "k@example.com"];
		const { responses } = await router.deliver(routed({ recipients }));
		expect(responses.map(({ recipient, status }) => status + recipient)).toEqual([
			"Dd@example.com",
			"Kk@example.com",
			"Zz@example.com",
			"Kk@example.com",
		]);
		expect(first.messages).toHaveLength(1);
	});

	test("that has refused some keeps them, and the next gets the mail for the others only", async () => {
		const { one, two, router, second } = await twoHosts({
			RCPT: (_, line) => (line.includes("<d") ? "550 no" : "250 ok"),
			DATA: hangUp,
		});
		const recipients = ["k@example.com", "d@example.com", "k2@example.com"];
		expect(outcomes(await router.deliver(routed({ recipients })))).toEqual([
			`K smtp ${two} < smtp ${one} ERR_QMTP_CONNECTION_CLOSED`,
			`D smtp ${one}`,
			`K smtp ${two} < smtp ${one} ERR_QMTP_CONNECTION_CLOSED`,
		]);
		expect(second.messages.map(({ rcpt }) => rcpt)).toEqual([
			["RCPT TO:<k@example.com>", "RCPT TO:<k2@example.com>"],
		]);
	});

	test("is passed over also if SMTP cannot say one of the recipients", async () => {
		const { one, two, router } = await twoHosts({ greeting: "554 no" });
		const recipients = ["a<b@example.com", "k@example.com"];
		expect(outcomes(await router.deliver(routed({ recipients })))).toEqual([
			`D smtp ${one}`,
			`K smtp ${two} < smtp ${one} ERR_QMTP_CONNECT`,
		]);
	});

	test("that offers STARTTLS gets the mail by TLS, unless the router is told never to", async () => {
		const server = await npmServer(await certificate("mx.example.com"));
		const ports = { qmtp: PORTS.qmtp, smtp: server.port };
		for (const smtpTls of ["opportunistic", "never"] as const) {
			const { router } = routerFor(oneExchange("127.0.0.1", 10), { ports, smtpTls });
			expect((await router.deliver(routed())).accepted).toEqual(["a@example.com"]);
		}
		expect(server.messages.map(({ secure }) => secure)).toEqual([true, false]);
		const { router } = routerFor(oneExchange("127.0.0.1", 10), { ports, smtpTls: "required" });
		const { responses } = await router.deliver(routed()); // nobody vouches for the certificate
		expect(responses).toMatchObject([{ status: "Z", error: { code: "ERR_QMTP_CONNECT" } }]);
		expect(server.messages).toHaveLength(2);
	});

	test("that is the last is told of as it was, with what it said", async () => {
		const address = freshAddress();
		await smtpHost(address, { greeting: "554 5.7.1 you are on a list" });
		const { router } = routerFor(oneExchange(address, 12801));
		const { responses } = await router.deliver(routed());
		expect(responses).toMatchObject([
			{
				status: "Z",
				description: expect.stringContaining("you are on a list"),
				error: { code: "ERR_QMTP_CONNECT" },
				possiblyAccepted: false,
				tried: [{ protocol: "qmtp" }, { protocol: "smtp" }],
			},
		]);
	});
});

function hangUp(peer: { readonly socket: { destroy(): unknown } }): null {
	peer.socket.destroy();
	return null;
}

/** What the router makes of the domain of a recipient: the DNS, address literals, fixed routes, or nothing. */
import { describe, expect, test } from "vitest";
import { FixedRoutes } from "../../src/routing/fixed-routes.js";
import { noUnhandledRejections } from "../support/client-rejections.js";
import {
	freshAddress,
	oneExchange,
	outcomes,
	PORTS,
	qmtpHost,
	routed,
	routerFor,
	smtpHost,
} from "../support/router-hosts.js";

noUnhandledRejections();

const MESSAGE = "Subject: hello\n\nhello\n";

describe("the DNS", () => {
	const CASES: Record<string, [zone: Parameters<typeof routerFor>[0], expected: object]> = {
		"a domain that is not there": [
			{},
			{
				status: "D",
				description: /^Sorry, I couldn't find any host named example\.com\. \(#5\.1\.2\)$/,
				error: "ERR_QMTP_DNS_NAME",
			},
		],
		"a name server that fails": [
			{ mx: { "example.com": "ERR_QMTP_DNS" } },
			{ status: "Z", description: /^DNS lookup failed temporarily\. \(#4\.4\.3\)$/, error: "ERR_QMTP_DNS" },
		],
		"a null MX": [{ mx: { "example.com": ["0 "] } }, { status: "D", description: /\(#5\.1\.10\)$/ }],
		"an exchange that no host can be called": [
			{ mx: { "example.com": ["0 127.0.0.1"] } },
			{ status: "D", description: /\(#5\.4\.4\)$/ },
		],
		"no MX and no address": [
			{ mx: { "example.com": [] } },
			{ status: "D", description: /any host named example\.com/, error: "ERR_QMTP_DNS_NAME" },
		],
		"no MX and an empty list of addresses": [
			{ mx: { "example.com": [] }, addresses: { "example.com": [] } },
			{ status: "D", description: /any host named example\.com/, error: "ERR_QMTP_DNS_NAME" },
		],
		"no MX and addresses that cannot be told": [
			{ mx: { "example.com": [] }, addresses: { "example.com": "ERR_QMTP_DNS" } },
			{ status: "Z", description: /\(#4\.4\.3\)$/, error: "ERR_QMTP_DNS" },
		],
		"exchanges of which none has an address": [
			{ mx: { "example.com": ["1 a.example", "12801 b.example"] }, addresses: { "a.example": [] } },
			{
				status: "D",
				description: /^Sorry, I couldn't find a mail exchanger or IP address\. \(#5\.4\.4\)$/,
				error: "ERR_QMTP_DNS_NAME",
			},
		],
		"exchanges of which one may have an address": [
			{
				mx: { "example.com": ["1 a.example", "12801 b.example"] },
				addresses: { "a.example": "ERR_QMTP_DNS" },
			},
			{ status: "Z", description: /\(#4\.4\.3\)$/, error: "ERR_QMTP_DNS" },
		],
		"a resolver that rejects with what it should not": [
			{ mx: { "example.com": () => Promise.reject(new Error("oops")) } },
			{ status: "Z", description: /\(#4\.4\.3\)$/, error: "ERR_QMTP_DNS" },
		],
		"a resolver that knows no words": [
			{ mx: { "example.com": () => Promise.reject(undefined) } },
			{ status: "Z", description: /\(#4\.4\.3\)$/, error: "ERR_QMTP_DNS" },
		],
		"a resolver whose answer is none": [
			{ mx: { "example.com": () => Promise.resolve(null as unknown as string[]) } },
			{ status: "Z", description: /\(#4\.4\.3\)$/, error: "ERR_QMTP_DNS" },
		],
		"a resolver that rejects so for an address": [
			{
				mx: { "example.com": ["1 a.example"] },
				addresses: { "a.example": () => Promise.reject(new Error("oops")) },
			},
			{ status: "Z", description: /\(#4\.4\.3\)$/, error: "ERR_QMTP_DNS" },
		],
	};
	test.each(Object.keys(CASES))("has %s, and another domain gets its mail", async (name) => {
		const [zone, { status, description, error }] = CASES[name] as [
			object,
			{ status: string; description: RegExp; error?: string },
		];
		const address = freshAddress();
		await qmtpHost(address);
		const good = oneExchange(address, 12801, "good.example");
		const { mx, addresses } = zone as { mx?: object; addresses?: object };
		const { router } = routerFor({
			mx: { ...good.mx, ...mx },
			addresses: { ...good.addresses, ...addresses },
		});
		const recipients = ["a@example.com", "b@good.example", "c@example.com"];
		const { responses } = await router.deliver(routed({ recipients }));
		expect(responses.map((response) => response.status)).toEqual([status, "K", status]);
		expect(responses[0]?.description).toMatch(description);
		expect(responses[0]?.error?.code).toBe(error);
		expect(responses[0]?.possiblyAccepted).toBe(error === undefined ? undefined : false);
		expect(responses[0]?.protocol).toBeUndefined();
	});

	test("has a domain without MX, which is its own exchange by SMTP", async () => {
		const address = freshAddress();
		const smtp = await smtpHost(address, {});
		const { router } = routerFor({ mx: { "example.com": [] }, addresses: { "example.com": [address] } });
		const { responses } = await router.deliver(routed());
		expect(responses).toMatchObject([{ status: "K", protocol: "smtp", host: "example.com", address }]);
		expect(smtp.messages).toHaveLength(1);
	});

	test("has exchanges without an address, which are passed over", async () => {
		const address = freshAddress();
		await qmtpHost(address);
		const { router } = routerFor({
			mx: { "example.com": ["1 none.example", "2 fails.example", "12801 good.example"] },
			addresses: { "fails.example": "ERR_QMTP_DNS", "good.example": [address] },
		});
		expect(outcomes(await router.deliver(routed()))).toEqual([
			`K qmtp ${address} < smtp none.example ERR_QMTP_DNS_NAME < smtp fails.example ERR_QMTP_DNS`,
		]);
	});

	test("has exchanges without an address and one that is dead: that is for later", async () => {
		const { router } = routerFor({
			mx: { "example.com": ["1 none.example", "2 dead.example"] },
			addresses: { "dead.example": [freshAddress()] },
		});
		expect((await router.deliver(routed())).responses).toMatchObject(
			[{ status: "Z", description: /wasn't able/, error: { code: "ERR_QMTP_CONNECT" } }].map((response) => ({
				...response,
				description: expect.stringMatching(response.description),
			})),
		);
	});
});

describe("the domain of a recipient", () => {
	test("may be an address in brackets, which is taken by SMTP without the DNS", async () => {
		const address = freshAddress();
		const smtp = await smtpHost(address, {});
		const { router, resolver } = routerFor({});
		const recipients = [`a@[${address}]`, `"b@c"@[${address}]`];
		expect(outcomes(await router.deliver(routed({ recipients })))).toEqual([
			`K smtp ${address}`,
			`K smtp ${address}`,
		]);
		expect(smtp.messages[0]?.rcpt).toEqual([`RCPT TO:<a@[${address}]>`, `RCPT TO:<"b@c"@[${address}]>`]);
		expect(resolver.questions).toEqual([]);
	});

	test("may be an IPv6 address in brackets", async () => {
		const { router } = routerFor({});
		// Nobody is there, but it was tried.
		expect(outcomes(await router.deliver(routed({ recipients: ["a@[IPv6:::1]"] })))).toEqual([
			"Z ERR_QMTP_CONNECT < smtp ::1 ERR_QMTP_CONNECT",
		]);
	});

	test.each(["[]", "[127.0.0.1", "127.0.0.1]", "[127.0.0.256]", "[::1]", "[IPv6:x]", "[example.com]"])(
		"is malformed: %s",
		async (domain) => {
			const { router, resolver } = routerFor({});
			const { responses } = await router.deliver(routed({ recipients: [`a@${domain}`] }));
			expect(responses).toEqual([
				{
					recipient: `a@${domain}`,
					status: "D",
					description: "Sorry, there is no address in the brackets of that recipient. (#5.1.2)",
					tried: [],
				},
			]);
			expect(resolver.questions).toEqual([]);
		},
	);

	test.each(["", "a", "a@", "@", "a@."])("is not there: '%s'", async (recipient) => {
		const { router, resolver } = routerFor({});
		const { responses } = await router.deliver(routed({ recipients: [recipient] }));
		expect(responses).toEqual([
			{ recipient, status: "D", description: "Sorry, that recipient has no domain. (#5.1.2)", tried: [] },
		]);
		expect(resolver.questions).toEqual([]);
	});

	test("is the same however it is written", async () => {
		const address = freshAddress();
		const qmtp = await qmtpHost(address);
		const { router, resolver } = routerFor(oneExchange(address, 12801, "xn--bcher-kva.example"));
		const recipients = [
			"a@b\u00fccher.example",
			"b@XN--bcher-KVA.example.",
			"c@B\u00dcCHER.example",
			"d@xn--bcher-kva.example",
		];
		const { responses } = await router.deliver(routed({ recipients }));
		expect(responses.map(({ status, recipient }) => status + recipient)).toEqual(
			recipients.map((one) => `K${one}`),
		);
		expect(qmtp.mail).toHaveLength(1);
		expect(resolver.questions).toEqual(["mx xn--bcher-kva.example", "addresses mx.xn--bcher-kva.example"]);
	});

	test("in Latin-1 is bytes of UTF-8, or none", async () => {
		const address = freshAddress();
		await qmtpHost(address, { addressEncoding: "latin1" });
		const zone = oneExchange(address, 12801, "xn--bcher-kva.example");
		const { router } = routerFor(zone, { addressEncoding: "latin1" });
		const recipients = [
			"a@b\u00c3\u00bccher.example",
			"b@b\u00fccher.example",
			"\u00ff@xn--bcher-kva.example",
		];
		expect(outcomes(await router.deliver(routed({ recipients })))).toEqual([
			`K qmtp ${address}`,
			"D",
			`K qmtp ${address}`,
		]);
	});

	test("does not count if the caller names one", async () => {
		const address = freshAddress();
		const qmtp = await qmtpHost(address);
		const { router, resolver } = routerFor(oneExchange(address, 12801, "relay.example"));
		const recipients = ["a@example.com", "b", "c@example.net"];
		await router.deliver(routed({ recipients, host: "Relay.Example." }));
		expect(qmtp.mail).toEqual([`${MESSAGE} for ${recipients.join(", ")}`]);
		expect(resolver.questions).toEqual(["mx relay.example", "addresses mx.relay.example"]);
	});
});

describe("fixed routes", () => {
	test("go before the DNS, by QMTP and then SMTP, or by SMTP alone", async () => {
		const [one, two, three] = [freshAddress(), freshAddress(), freshAddress()];
		const [qmtp, , smtp] = [await qmtpHost(one), await smtpHost(two, {}), await smtpHost(three, {})];
		await qmtpHost(three);
		const { router, resolver } = routerFor(
			{ addresses: { "relay.example": [two] } },
			{
				qmtpRoutes: FixedRoutes.parse(
					[`one.example:${one}:${PORTS.qmtp}`, `.two.example:Relay.Example:${PORTS.qmtp}`],
					"qmtp",
				),
				smtpRoutes: FixedRoutes.parse([`:[${three}]:${PORTS.smtp}`], "smtp"),
			},
		);
		const recipients = ["a@one.example", "b@x.two.example", "c@two.example", "d@[192.0.2.1]"];
		expect(outcomes(await router.deliver(routed({ recipients })))).toEqual([
			`K qmtp ${one}`,
			`K smtp ${two} < qmtp ${two} ERR_QMTP_CONNECT`,
			`K smtp ${three}`,
			`K smtp ${three}`,
		]);
		expect(resolver.questions).toEqual(["addresses relay.example"]);
		expect(qmtp.mail).toHaveLength(1);
		expect(smtp.messages).toHaveLength(2);
	});

	test("have ports of their own", async () => {
		const address = freshAddress();
		const { router } = routerFor(
			{},
			{
				qmtpRoutes: FixedRoutes.parse([`a.example:${address}`, `b.example:${address}:7`], "qmtp"),
				smtpRoutes: FixedRoutes.parse([`c.example:${address}:8`], "smtp"),
			},
		);
		const recipients = ["a@a.example", "b@b.example", "c@c.example"];
		const { responses } = await router.deliver(routed({ recipients }));
		expect(responses.map(({ tried }) => tried.map(({ port }) => port))).toEqual([
			[209, PORTS.smtp],
			[7, PORTS.smtp],
			[8],
		]);
	});

	test("with an empty relay mean the MX records", async () => {
		const [dead, address] = [freshAddress(), freshAddress()];
		await qmtpHost(address);
		const { router } = routerFor(oneExchange(address, 12801), {
			smtpRoutes: FixedRoutes.parse(["example.com:", `:${dead}`], "smtp"),
		});
		expect(outcomes(await router.deliver(routed()))).toEqual([`K qmtp ${address}`]);
	});

	test("whose relay has no address, or cannot be looked up", async () => {
		const { router } = routerFor(
			{ addresses: { "fails.example": "ERR_QMTP_DNS" } },
			{ smtpRoutes: FixedRoutes.parse(["a.example:no.example", "b.example:fails.example"], "smtp") },
		);
		const { responses } = await router.deliver(routed({ recipients: ["a@a.example", "b@b.example"] }));
		expect(responses.map(({ status, description }) => status + description)).toEqual([
			"DSorry, I couldn't find a mail exchanger or IP address. (#5.4.4)",
			"ZDNS lookup failed temporarily. (#4.4.3)",
		]);
	});
});

import { createSocket } from "node:dgram";
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { type DnsResolverOptions, dnsResolver, type Resolver } from "../../src/routing/resolver.js";
import { withDirectory } from "../support/program.js";
import { A, AAAA, aaaaData, aData, type DnsAnswer, MX, mxData, startDns } from "../support/routing-dns.js";

const NONE: DnsAnswer = [];
const SERVFAIL: DnsAnswer = { rcode: 2 };
const NXDOMAIN: DnsAnswer = { rcode: 3 };
const REFUSED: DnsAnswer = { rcode: 5 };
const NO_FILE = "/nonexistent/hosts";

/** A resolver that gets the same answer for each type of record, whatever the name. */
async function resolverWith(
	answers: Readonly<Record<number, DnsAnswer>>,
	options: DnsResolverOptions = {},
): Promise<{ resolver: Resolver; questions: readonly string[] }> {
	const { server, questions } = await startDns((_, type) => answers[type] ?? NONE);
	return { resolver: dnsResolver({ servers: [server], hostsFile: NO_FILE, ...options }), questions };
}

function dnsError(code: string, message?: RegExp): unknown {
	const text = message === undefined ? {} : { message: expect.stringMatching(message) };
	return expect.objectContaining({ name: "TransportError", code, ...text });
}

describe("the MX records of a domain", () => {
	test("are what the name server says", async () => {
		const records = [mxData(12801, "A.example"), mxData(65535, "b.example"), mxData(0, "")];
		const { resolver, questions } = await resolverWith({ [MX]: records });
		expect(await resolver.mx("Example.COM.")).toEqual([
			{ exchange: "A.example", preference: 12801 },
			{ exchange: "b.example", preference: 65535 },
			{ exchange: "", preference: 0 },
		]);
		expect(questions).toEqual(["15 example.com"]);
	});

	test("are none if the name is there without any", async () => {
		expect(await (await resolverWith({})).resolver.mx("example.com")).toEqual([]);
	});

	test("cannot be had of a name that is not there, and that is permanent", async () => {
		const { resolver } = await resolverWith({ [MX]: NXDOMAIN });
		await expect(resolver.mx("no.example")).rejects.toEqual(
			dnsError("ERR_QMTP_DNS_NAME", /^there is no such name: no\.example$/),
		);
	});

	test("cannot be had now if the name server fails or refuses, and the system's error is the cause", async () => {
		for (const [answer, code] of [
			[SERVFAIL, "ESERVFAIL"],
			[REFUSED, "EREFUSED"],
		] as const) {
			const { resolver } = await resolverWith({ [MX]: answer });
			const error = await resolver.mx("example.com").catch((reason: unknown) => reason);
			expect(error).toEqual(dnsError("ERR_QMTP_DNS", /^example\.com cannot be looked up now: /));
			expect(error).toMatchObject({ cause: { code } });
		}
	});

	test("cannot be had now if nobody answers, and that is told when all tries are over", async () => {
		const { resolver, questions } = await resolverWith({ [MX]: "silence" }, { timeout: 50, tries: 3 });
		await expect(resolver.mx("example.com")).rejects.toEqual(
			dnsError("ERR_QMTP_DNS", /: no name server answers$/),
		);
		expect(questions.length).toBeGreaterThanOrEqual(1);
	});

	test("cannot be had now if there is no name server", async () => {
		const socket = createSocket("udp4").bind(0, "127.0.0.1");
		await once(socket, "listening");
		const { port } = socket.address();
		await new Promise<void>((resolve) => socket.close(resolve));
		const resolver = dnsResolver({ servers: [`127.0.0.1:${port}`], timeout: 100 });
		await expect(resolver.mx("example.com")).rejects.toEqual(dnsError("ERR_QMTP_DNS"));
	});

	test("of a name beyond ASCII are asked for as IDNA has it", async () => {
		const { resolver, questions } = await resolverWith({});
		await resolver.mx("B\u00fccher.example");
		expect(questions).toEqual(["15 xn--bcher-kva.example"]);
	});

	test("are not asked for if there can be no such name", async () => {
		const { resolver, questions } = await resolverWith({});
		for (const name of [
			"",
			".",
			"a..b",
			"a b.example",
			"192.0.2.1",
			"a\\.b.example",
			`${"x".repeat(64)}.example`,
		]) {
			await expect(resolver.mx(name)).rejects.toEqual(dnsError("ERR_QMTP_DNS_NAME"));
		}
		expect(questions).toEqual([]);
	});

	test("are asked for anew each time", async () => {
		const { resolver, questions } = await resolverWith({ [MX]: [mxData(0, "a.example")] });
		await resolver.mx("example.com");
		await resolver.mx("example.com");
		expect(questions).toHaveLength(2);
	});
});

describe("the addresses of a host", () => {
	const both = { [A]: [aData("192.0.2.1"), aData("192.0.2.2")], [AAAA]: [aaaaData(1)] };

	test("are those of IPv6, then those of IPv4", async () => {
		const { resolver } = await resolverWith(both);
		expect(await resolver.addresses("mx.example")).toEqual(["2001:db8::1", "192.0.2.1", "192.0.2.2"]);
	});

	test("are those of one family if only that is wanted, and the other is not asked for", async () => {
		const four = await resolverWith(both, { family: 4 });
		expect(await four.resolver.addresses("mx.example")).toEqual(["192.0.2.1", "192.0.2.2"]);
		expect(four.questions).toEqual(["1 mx.example"]);
		const six = await resolverWith(both, { family: 6 });
		expect(await six.resolver.addresses("mx.example")).toEqual(["2001:db8::1"]);
		expect(six.questions).toEqual(["28 mx.example"]);
	});

	test("are enough if one family has some, though the other fails", async () => {
		for (const failure of [SERVFAIL, NXDOMAIN, NONE]) {
			const { resolver } = await resolverWith({ [A]: [aData("192.0.2.1")], [AAAA]: failure });
			expect(await resolver.addresses("mx.example")).toEqual(["192.0.2.1"]);
		}
	});

	test("are none if the name is there without one", async () => {
		expect(await (await resolverWith({})).resolver.addresses("mx.example")).toEqual([]);
	});

	test("cannot be had now if one family fails and the other has none", async () => {
		for (const other of [NXDOMAIN, NONE]) {
			const { resolver } = await resolverWith({ [A]: SERVFAIL, [AAAA]: other });
			await expect(resolver.addresses("mx.example")).rejects.toEqual(dnsError("ERR_QMTP_DNS"));
		}
	});

	test("cannot be had of a name that is nowhere", async () => {
		const { resolver } = await resolverWith({ [A]: NXDOMAIN, [AAAA]: NXDOMAIN });
		await expect(resolver.addresses("mx.example")).rejects.toEqual(dnsError("ERR_QMTP_DNS_NAME"));
		await expect(resolver.addresses("[192.0.2.1]")).rejects.toEqual(dnsError("ERR_QMTP_DNS_NAME"));
	});

	test("of an address are that address, and nobody is asked", async () => {
		const { resolver, questions } = await resolverWith({});
		expect(await resolver.addresses("192.0.2.9")).toEqual(["192.0.2.9"]);
		expect(await resolver.addresses("2001:db8::9")).toEqual(["2001:db8::9"]);
		expect(questions).toEqual([]);
		expect(await (await resolverWith({}, { family: 6 })).resolver.addresses("192.0.2.9")).toEqual([]);
	});
});

describe("names that this machine knows by itself", () => {
	const text = [
		"# a comment",
		"127.0.0.9 MailHub mailhub.example # and 127.0.0.8 is not it: mailhub",
		"2001:db8::9\tmailhub",
		"not-an-address mailhub",
		"127.0.0.7 known.example",
		"",
	].join("\n");

	async function withHosts(answer: DnsAnswer, use: Parameters<typeof withBoth>[1]): Promise<void> {
		await withBoth({ [A]: answer, [AAAA]: answer === SERVFAIL ? SERVFAIL : NXDOMAIN }, use);
	}

	async function withBoth(
		answers: Readonly<Record<number, DnsAnswer>>,
		use: (both: { resolver: Resolver; questions: readonly string[] }) => Promise<void>,
	): Promise<void> {
		await withDirectory(async (directory) => {
			const hostsFile = join(directory, "hosts");
			await writeFile(hostsFile, text);
			await use(await resolverWith(answers, { hostsFile }));
		});
	}

	test("count before the DNS if they have no dot", async () => {
		await withHosts([aData("192.0.2.1")], async ({ resolver, questions }) => {
			expect(await resolver.addresses("mailHub")).toEqual(["2001:db8::9", "127.0.0.9"]);
			expect(questions).toEqual([]);
			expect(await resolver.addresses("other")).toEqual(["192.0.2.1"]);
		});
	});

	test("count with a dot if the DNS does not have them", async () => {
		await withHosts(NXDOMAIN, async ({ resolver }) => {
			expect(await resolver.addresses("known.example")).toEqual(["127.0.0.7"]);
		});
		await withHosts([aData("192.0.2.1")], async ({ resolver }) => {
			expect(await resolver.addresses("known.example")).toEqual(["192.0.2.1"]);
		});
	});

	test("do not count with a dot while the DNS cannot tell", async () => {
		await withHosts(SERVFAIL, async ({ resolver }) => {
			await expect(resolver.addresses("known.example")).rejects.toEqual(dnsError("ERR_QMTP_DNS"));
		});
	});

	test("localhost is always one of them", async () => {
		const { resolver, questions } = await resolverWith({ [A]: [aData("192.0.2.1")] });
		expect(await resolver.addresses("localhost")).toEqual(["::1", "127.0.0.1"]);
		expect(await resolver.addresses("a.localhost")).toEqual(["::1", "127.0.0.1"]);
		expect(questions).toEqual([]);
	});
});

describe("an abort", () => {
	test("rejects with its reason at once", async () => {
		const { resolver } = await resolverWith({ [MX]: "silence", [A]: "silence", [AAAA]: "silence" });
		const looks: ((signal: AbortSignal) => Promise<unknown>)[] = [
			(signal) => resolver.mx("mx.example", { signal }),
			(signal) => resolver.addresses("mx.example", { signal }),
		];
		for (const look of looks) {
			const abort = new AbortController();
			const reason = new Error("enough");
			const looked = look(abort.signal);
			setImmediate(() => abort.abort(reason));
			await expect(looked).rejects.toBe(reason);
			await expect(look(abort.signal)).rejects.toBe(reason);
		}
	});

	test("of one question leaves the others alone", async () => {
		const { server, questions } = await startDns((name) =>
			name === "slow.example" ? "silence" : [mxData(0, "a.example")],
		);
		const resolver = dnsResolver({ servers: [server] });
		const abort = new AbortController();
		const slow = resolver.mx("slow.example", { signal: abort.signal });
		const quick = resolver.mx("quick.example");
		abort.abort(new Error("enough"));
		await expect(slow).rejects.toThrow("enough");
		expect(await quick).toHaveLength(1);
		expect(questions).toContain("15 quick.example");
	});
});

describe("options of a resolver", () => {
	test.each([
		[{ servers: [] }],
		[{ servers: ["dns.example"] }],
		[{ servers: ["127.0.0.1:0"] }],
		[{ servers: ["127.0.0.1:65536"] }],
		[{ servers: ["127.0.0.1", "[::1]:x"] }],
		[{ servers: ["[127.0.0.1]:53"] }],
		[{ timeout: 0 }],
		[{ timeout: 1.5 }],
		[{ timeout: 2 ** 31 }],
		[{ tries: 0 }],
		[{ tries: Number.NaN }],
		[{ family: 5 }],
		[{ server: "127.0.0.1" }],
	])("%j makes no sense", (options) => {
		expect(() => dnsResolver(options as DnsResolverOptions)).toThrow(
			expect.objectContaining({ name: "UsageError", code: "ERR_QMTP_OPTION" }),
		);
	});

	test("servers may be written with a port and without", () => {
		dnsResolver({ servers: ["127.0.0.1", "127.0.0.1:5353", "::1", "[::1]", "[::1]:5353"] });
		dnsResolver();
	});
});

import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { describe, expect, onTestFinished, test } from "vitest";
import { type Finished, run } from "../support/program.js";
import { aaaaData, aData, type DnsAnswer, mxData, startDns } from "../support/routing-dns.js";

const ZONE: Readonly<Record<string, DnsAnswer>> = {
	"15 example.com": [
		...[mxData(12817, "b.example"), mxData(20, "Old.Example"), mxData(12801, "z.example")],
		...[mxData(12801, "a.example"), mxData(12802, "c.example")],
	],
	"15 xn--bcher-kva.example": [mxData(12801, "a.example")],
	"15 null.example": [mxData(0, "")],
	"15 bare.example": [],
	"15 failing.example": { rcode: 2 },
};

/** Runs `qmtp mx` with a name server that knows this zone, and no other name. */
async function mx(
	args: readonly string[],
	zone: Readonly<Record<string, DnsAnswer>> = ZONE,
): Promise<Finished> {
	const { server } = await startDns((name, type) => zone[`${type} ${name}`] ?? { rcode: 3 });
	return run(["mx", "--server", server, ...args]);
}

/** A listener on 127.0.0.1, and its port. */
async function listening(connected: (socket: Socket) => void): Promise<string> {
	const listener = createServer((socket) => {
		socket.on("error", () => {});
		connected(socket);
	}).listen(0, "127.0.0.1");
	await once(listener, "listening");
	onTestFinished(() => void listener.close());
	return String((listener.address() as AddressInfo).port);
}

/** A port of 127.0.0.1 where nothing listens. */
async function freePort(): Promise<string> {
	const listener = createServer().listen(0, "127.0.0.1");
	await once(listener, "listening");
	const { port } = listener.address() as AddressInfo;
	await new Promise((resolve) => listener.close(resolve));
	return String(port);
}

describe("qmtp mx", () => {
	test("prints the exchanges in the order in which they are tried, and what is spoken to each", async () => {
		expect(await mx(["Example.COM."])).toEqual({
			code: 0,
			stdout: [
				"20 old.example smtp 25",
				"12801 a.example qmtp 209 smtp 25",
				"12801 z.example qmtp 209 smtp 25",
				"12802 c.example smtp 25",
				"12817 b.example qmtp 209 smtp 25",
				"",
			].join("\n"),
			stderr: "",
		});
	});

	test("a domain without MX records is its own exchange", async () => {
		expect(await mx(["bare.example"])).toEqual({ code: 0, stdout: "0 bare.example smtp 25\n", stderr: "" });
	});

	test("a name beyond ASCII is looked up as IDNA has it", async () => {
		expect((await mx(["bücher.example"])).stdout).toBe("12801 a.example qmtp 209 smtp 25\n");
	});

	test("an address in brackets is its own exchange", async () => {
		expect((await mx(["[192.0.2.1]"])).stdout).toBe("0 192.0.2.1 smtp 25\n");
		expect((await mx(["[IPv6:2001:db8::1]"])).stdout).toBe("0 2001:db8::1 smtp 25\n");
	});

	test.each([
		["no.example", 100, "there is no such name: no.example"],
		["null.example", 100, "Sorry, null.example takes no mail, as its null MX says. (#5.1.10)"],
		["failing.example", 111, "failing.example cannot be looked up now: the name server has failed"],
	])("%s has no exchange: exit %i, and one line on standard error", async (domain, code, problem) => {
		expect(await mx([domain])).toEqual({ code, stdout: "", stderr: `qmtp mx: ${problem}\n` });
	});

	test("a name server that does not answer is exit 111 when the time is over", async () => {
		const { server } = await startDns(() => "silence");
		const found = await run(["mx", "--server", server, "--timeout", "1", "example.com"]);
		expect(found).toEqual({
			code: 111,
			stdout: "",
			stderr: "qmtp mx: example.com cannot be looked up now: no name server answers\n",
		});
	});
});

describe("qmtp mx --check", () => {
	const zone = {
		"15 example.com": [mxData(12801, "q.example"), mxData(12817, "s.example")],
		"15 plain.example": [mxData(5, "s.example")],
		"15 lost.example": [mxData(5, "nowhere.example"), mxData(6, "bare.example"), mxData(7, "broken.example")],
		"1 q.example": [aData("127.0.0.1")],
		"28 q.example": [],
		"1 s.example": [aData("127.0.0.1")],
		"28 s.example": [],
		"1 bare.example": [],
		"28 bare.example": [],
		"1 broken.example": { rcode: 2 },
	} as const;

	async function check(domain: string, qmtp: string, smtp: string, more: string[] = []): Promise<Finished> {
		return mx(["--check", "--qmtp-port", qmtp, "--smtp-port", smtp, ...more, domain], zone);
	}

	test("a QMTP server that takes the connection is enough, and it gets no byte", async () => {
		const received: string[] = [];
		const qmtp = await listening((socket) => socket.on("data", (bytes) => received.push(String(bytes))));
		const smtp = await freePort();
		const { code, stdout, stderr } = await check("example.com", qmtp, smtp);
		expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
		const connected = String.raw`\tqmtp 127\.0\.0\.1:${qmtp} connected in \d+\.\d ms\n`;
		const lines = [
			`12801 q.example qmtp ${qmtp} smtp ${smtp}\n`,
			`12817 s.example qmtp ${qmtp} smtp ${smtp}\n`,
		];
		expect(stdout).toMatch(new RegExp(`^${lines[0]}${connected}${lines[1]}${connected}$`));
		expect(received).toEqual([]);
	});

	test("where nothing listens for QMTP it is SMTP, whose greeting is shown", async () => {
		const received: string[] = [];
		const smtp = await listening((socket) => {
			socket.on("data", (bytes) => received.push(String(bytes)));
			socket.write("220-mx.exa");
			socket.write("mple \x1b[2J ESMTP\r\n220 more\r\n");
		});
		const qmtp = await freePort();
		const { code, stdout } = await check("example.com", qmtp, smtp);
		expect(code).toBe(0);
		const refused = `\tqmtp 127.0.0.1:${qmtp} no connection: nothing listens there (connection refused)\n`;
		expect(stdout.split(refused)).toHaveLength(3);
		const greeted = new RegExp(
			String.raw`^\tsmtp 127\.0\.0\.1:${smtp} connected in \d+\.\d ms, greets with: 220-mx\.example \\x1b\[2J ESMTP$`,
			"gm",
		);
		expect(stdout.match(greeted)).toHaveLength(2);
		expect(received).toEqual(["QUIT\r\n", "QUIT\r\n"]);
	});

	test("an exchange for SMTP alone is not asked for QMTP", async () => {
		const smtp = await listening((socket) => socket.write("220 mx.example\r\n"));
		const { code, stdout } = await check("plain.example", await freePort(), smtp);
		expect(code).toBe(0);
		expect(stdout).toMatch(
			/^5 s\.example smtp \d+\n\tsmtp \S+ connected in \S+ ms, greets with: 220 mx\.example\n$/,
		);
	});

	test("an SMTP server that turns clients away, or says nothing, is not enough: exit 111", async () => {
		const cases: [(socket: Socket) => void, string][] = [
			[(socket) => socket.write("554 no\r\n"), "greets with: 554 no"],
			[(socket) => socket.write(`5${"4".repeat(600)}`), `greets with: 5${"4".repeat(511)}`],
			[() => {}, "no greeting within 1 s"],
			[(socket) => socket.end(), "the server closed the connection before it had greeted"],
		];
		for (const [connected, result] of cases) {
			const smtp = await listening(connected);
			const found = await check("plain.example", await freePort(), smtp, ["--timeout", "1"]);
			expect(found.code).toBe(111);
			expect(found.stdout.endsWith(` ms, ${result}\n`), found.stdout).toBe(true);
		}
	});

	test("exchanges without addresses are told, and exit 111", async () => {
		expect(await check("lost.example", "1", "1")).toEqual({
			code: 111,
			stdout: [
				"5 nowhere.example smtp 1",
				"\tthere is no such name: nowhere.example",
				"6 bare.example smtp 1",
				"\tbare.example has no address",
				"7 broken.example smtp 1",
				"\tbroken.example cannot be looked up now: the name server has failed",
				"",
			].join("\n"),
			stderr: "",
		});
	});

	test("all addresses of an exchange are tried, those of IPv6 first", async () => {
		const records = { "15 two.example": [mxData(1, "t.example")], "1 t.example": [aData("127.0.0.1")] };
		const zone = { ...records, "28 t.example": [aaaaData(1)] };
		const smtp = await listening((socket) => socket.write("220 mx.example\r\n"));
		const { code, stdout } = await mx(
			["--check", "--timeout", "1", "--smtp-port", smtp, "two.example"],
			zone,
		);
		expect(code).toBe(0);
		expect(stdout).toMatch(
			/^1 .*\n\tsmtp \[2001:db8::1\]:\d+ no connection.*\n\tsmtp 127\.0\.0\.1:\d+ connected .*\n$/,
		);
	});
});

describe("qmtp mx --tinydns and --bind", () => {
	const hosts = [
		"a=192.0.2.1",
		"b=192.0.2.2,2001:DB8:0::2,192.0.2.3",
		"Mx.Example.NET.",
		"c=::ffff:192.0.2.4",
	];

	test("print the records and addresses of the hosts, with distances in their order", async () => {
		expect(await run(["mx", "--tinydns", "Example.com", ...hosts])).toEqual({
			code: 0,
			stdout: [
				"@example.com:192.0.2.1:a:12801:86400",
				"@example.com:192.0.2.2:b:12817:86400",
				"+b.mx.example.com:192.0.2.3:86400",
				String.raw`:b.mx.example.com:28:\040\001\015\270\000\000\000\000\000\000\000\000\000\000\000\002:86400`,
				"@example.com::mx.example.net:12833:86400",
				"@example.com::c:12849:86400",
				String.raw`:c.mx.example.com:28:\000\000\000\000\000\000\000\000\000\000\377\377\300\000\002\004:86400`,
				"",
			].join("\n"),
			stderr: "",
		});
		expect(await run(["mx", "--bind", "--ttl", "3600", "Example.com", ...hosts])).toEqual({
			code: 0,
			stdout: [
				"example.com. 3600 IN MX 12801 a.mx.example.com.",
				"a.mx.example.com. 3600 IN A 192.0.2.1",
				"example.com. 3600 IN MX 12817 b.mx.example.com.",
				"b.mx.example.com. 3600 IN A 192.0.2.2",
				"b.mx.example.com. 3600 IN A 192.0.2.3",
				"b.mx.example.com. 3600 IN AAAA 2001:db8::2",
				"example.com. 3600 IN MX 12833 mx.example.net.",
				"example.com. 3600 IN MX 12849 c.mx.example.com.",
				"c.mx.example.com. 3600 IN AAAA ::ffff:c000:204",
				"",
			].join("\n"),
			stderr: "",
		});
	});

	test("--equal gives all hosts the best distance", async () => {
		const { stdout } = await run(["mx", "--tinydns", "--equal", "--ttl", "60", "example.com", "a", "b"]);
		expect(stdout).toBe("@example.com::a:12801:60\n@example.com::b:12801:60\n");
	});

	test("16 hosts get the 16 distances of QMTP", async () => {
		const names = Array.from({ length: 16 }, (_, index) => `h${index}`);
		const { stdout } = await run(["mx", "--bind", "example.com", ...names]);
		const distances = [...stdout.matchAll(/ MX (\d+) /g)].map(([, distance]) => Number(distance));
		expect(distances).toEqual(names.map((_, index) => 12801 + 16 * index));
	});
});

describe("wrong use of qmtp mx", () => {
	const seventeen = Array.from({ length: 17 }, (_, index) => `h${index}`);
	const cases: [string[], string][] = [
		[[], "DOMAIN is missing"],
		[["example.com", "a"], "unexpected argument 'a': a HOST needs --tinydns or --bind"],
		[["a b.example"], "'a b.example' is no domain"],
		[["192.0.2.1"], "'192.0.2.1' is no domain"],
		[["[192.0.2]"], "there is no address in '[192.0.2]'"],
		[["--server", "dns.example", "example.com"], "'dns.example' is not the address of a name server"],
		[["--server", "127.0.0.1:0", "example.com"], "'127.0.0.1:0' is not the address of a name server"],
		[["--timeout", "0", "example.com"], "--timeout must be a whole number from 1 to 86400"],
		[["--smtp-port", "65536", "example.com"], "--smtp-port must be a whole number from 1 to 65535"],
		[["--equal", "example.com"], "--equal needs --tinydns or --bind"],
		[["--ttl", "1", "example.com"], "--ttl needs --tinydns or --bind"],
		[["--tinydns", "--bind", "example.com", "a"], "--tinydns and --bind do not go together"],
		[["--tinydns", "--check", "example.com", "a"], "--check does not go with --tinydns and --bind"],
		[["--tinydns", "example.com"], "a HOST is missing"],
		[["--tinydns", "exa:mple.com", "a"], "'exa:mple.com' is no domain"],
		[["--tinydns", "example.com", "a:b"], "'a:b' is no name of a host"],
		[["--tinydns", "example.com", "=192.0.2.1"], "'' is no name of a host"],
		[["--tinydns", "example.com", "192.0.2.1"], "'192.0.2.1' is no name of a host"],
		[["--tinydns", "example.com", "a="], "'' is no address, in 'a='"],
		[["--tinydns", "example.com", "a=192.0.2"], "'192.0.2' is no address, in 'a=192.0.2'"],
		[["--tinydns", "example.com", "a=fe80::1%lo"], "'fe80::1%lo' is no address, in 'a=fe80::1%lo'"],
		[["--tinydns", "example.com", "a", "A.mx.example.com"], "a.mx.example.com is there twice"],
		[["--bind", "example.com", ...seventeen], "QMTP has 16 distances, which 17 hosts are too many for"],
		[["--bind", "--ttl", "0", "example.com", "a"], "--ttl must be a whole number from 1 to 2147483647"],
	];
	test.each(cases)("%j is one line on standard error, and exit 1", async (args, message) => {
		const { code, stdout, stderr } = await run(["mx", ...args]);
		expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
		expect(stderr).toContain(message);
		expect(stderr).toMatch(/^qmtp mx: [^\n]* \(try: qmtp mx --help\)\n$/);
	});

	test("--help is no wrong use", async () => {
		const { code, stdout } = await run(["mx", "--help"]);
		expect(code).toBe(0);
		expect(stdout).toMatch(/^usage: qmtp mx \[options\] DOMAIN/);
	});
});

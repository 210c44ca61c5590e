/** Zones that `qmtp mx` writes, served by the real tinydns, asked by `qmtp mx`, the resolver, and djb's dnsmx. */
import { execFileSync } from "node:child_process";
import { expect, test } from "vitest";
import { dnsResolver } from "../../src/routing/resolver.js";
import { describeWithPrograms, findProgram } from "../support/peers.js";
import { run } from "../support/program.js";
import { TINYDNS_PROGRAMS, withTinydns } from "../support/routing-tinydns.js";

/** A zone must be there before anything is appended to it. */
const ZONE = ".test.example:127.0.0.1:a:259200\n";
const NO_FILE = "/nonexistent/hosts";

const isRoot = process.getuid?.() === 0;

describeWithPrograms("qmtp mx and tinydns", { ...TINYDNS_PROGRAMS, dnsmx: "djbdns-utils" }, () => {
	test("what --tinydns prints is served, and read back as it was meant", async (context) => {
		mustBeRoot(context);
		const hosts = [
			"a=127.0.0.11",
			"b=127.0.0.12,2001:db8::12,127.0.0.13",
			"mx.test.example=2001:db8::14",
			"c",
		];
		const printed = await run(["mx", "--tinydns", "--ttl", "3600", "test.example", ...hosts]);
		expect(printed).toMatchObject({ code: 0, stderr: "" });
		await withTinydns(ZONE + printed.stdout, async (address) => {
			const lines = [
				"12801 a.mx.test.example qmtp 209 smtp 25",
				"12817 b.mx.test.example qmtp 209 smtp 25",
				"12833 mx.test.example qmtp 209 smtp 25",
				"12849 c.mx.test.example qmtp 209 smtp 25",
			];
			// As djb's tools are told whom to ask, and by the option.
			const env = { DNSCACHEIP: address };
			const found = { code: 0, stdout: `${lines.join("\n")}\n`, stderr: "" };
			expect(await run(["mx", "test.example"], { env })).toEqual(found);
			expect(await run(["mx", "--server", `${address}:53`, "test.example"])).toEqual(found);
			expect(dnsmx(address, "test.example").sort()).toEqual(
				lines.map((line) => line.split(" ").slice(0, 2).join(" ")),
			);

			const resolver = dnsResolver({ servers: [address], hostsFile: NO_FILE });
			expect(await resolver.addresses("a.mx.test.example")).toEqual(["127.0.0.11"]);
			const [six, ...four] = await resolver.addresses("b.mx.test.example");
			expect([six, ...four.sort()]).toEqual(["2001:db8::12", "127.0.0.12", "127.0.0.13"]);
			expect(await resolver.addresses("mx.test.example")).toEqual(["2001:db8::14"]);
			await expect(resolver.addresses("c.mx.test.example")).rejects.toMatchObject({
				code: "ERR_QMTP_DNS_NAME",
			});
		});
	});

	test("16 exchanges fit into one answer", async (context) => {
		mustBeRoot(context);
		const hosts = Array.from({ length: 16 }, (_, index) => `h${index}=127.0.1.${index}`);
		const printed = await run(["mx", "--tinydns", "test.example", ...hosts]);
		await withTinydns(ZONE + printed.stdout, async (address) => {
			const { code, stdout } = await run(["mx", "--server", address, "test.example"]);
			expect(code).toBe(0);
			const expected = hosts.map(
				(_, index) => `${12801 + 16 * index} h${index}.mx.test.example qmtp 209 smtp 25`,
			);
			expect(stdout).toBe(`${expected.join("\n")}\n`);
		});
	});

	test("names without MX, null MX, names that are not there and zones that are not served are told apart", async (context) => {
		mustBeRoot(context);
		const data = [
			"+bare.test.example:127.0.0.5",
			"@null.test.example::.:0",
			"@upper.test.example::MX.Test.Example.:65535",
			"@bogus.test.example::192.0.2.1:5",
			"Calias.test.example:bare.test.example",
			"",
		].join("\n");
		await withTinydns(ZONE + data, async (address) => {
			const resolver = dnsResolver({ servers: [address], hostsFile: NO_FILE, timeout: 200, tries: 2 });
			expect(await resolver.mx("bare.test.example")).toEqual([]);
			expect(await resolver.mx("alias.test.example")).toEqual([]); // it follows no alias, and dnsmx does the same
			expect(await resolver.mx("null.test.example")).toEqual([{ exchange: "", preference: 0 }]);
			await expect(resolver.mx("no.test.example")).rejects.toMatchObject({ code: "ERR_QMTP_DNS_NAME" });
			await expect(resolver.mx("other.example")).rejects.toMatchObject({ code: "ERR_QMTP_DNS" }); // no answer
			const mx = (name: string) => run(["mx", "--server", address, name]);
			expect(await mx("bare.test.example")).toMatchObject({
				code: 0,
				stdout: "0 bare.test.example smtp 25\n",
			});
			expect(dnsmx(address, "bare.test.example")).toEqual(["0 bare.test.example"]);
			expect(await mx("upper.test.example")).toMatchObject({ stdout: "65535 mx.test.example smtp 25\n" });
			expect(await mx("null.test.example")).toMatchObject({ code: 100, stdout: "" });
			expect(await mx("bogus.test.example")).toMatchObject({ code: 100, stdout: "" });
			expect(await mx("no.test.example")).toMatchObject({ code: 100, stdout: "" });
		});
	});
});

/** The lines of djb's dnsmx, which asks the server named in the environment. */
function dnsmx(address: string, domain: string): string[] {
	const env = { ...process.env, DNSCACHEIP: address };
	const printed = execFileSync(findProgram("dnsmx") as string, [domain], { env, encoding: "utf8" });
	return printed.trimEnd().split("\n");
}

function mustBeRoot(context: { skip(note: string): void }): void {
	if (!isRoot) context.skip("tinydns listens on port 53, which takes root");
}

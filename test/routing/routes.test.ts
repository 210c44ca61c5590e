import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type MxRecord, type MxRoutesOptions, mxRoutes, type Route } from "../../src/routing/routes.js";

const OURSELF =
	"Sorry. Although I'm listed as a best-preference MX or A for that host, " +
	"it isn't in my control/locals file, so I don't treat it as local. (#5.4.6)";

function record(preference: number, exchange: string): MxRecord {
	return { exchange, preference };
}

function routesOf(records: readonly MxRecord[], options?: MxRoutesOptions): readonly Route[] {
	const found = mxRoutes("example.com", records, options);
	return "routes" in found ? found.routes : [];
}

function exchangesOf(records: readonly MxRecord[], options?: MxRoutesOptions): string[] {
	return routesOf(records, options).map(({ exchange }) => exchange);
}

function refusalOf(records: readonly MxRecord[], options?: MxRoutesOptions): unknown {
	const found = mxRoutes("example.com", records, options);
	return "refusal" in found ? found.refusal : null;
}

describe("the routes of MX records", () => {
	test("are in the order of the preferences, whatever the protocol", () => {
		const records = [
			record(13000, "late.example"),
			record(12801, "qmtp.example"),
			record(0, "smtp.example"),
			record(12817, "second.example"),
		];
		expect(routesOf(records)).toEqual([
			{ exchange: "smtp.example", preference: 0, protocol: "smtp", port: 25 },
			{ exchange: "qmtp.example", preference: 12801, protocol: "qmtp", port: 209 },
			{ exchange: "second.example", preference: 12817, protocol: "qmtp", port: 209 },
			{ exchange: "late.example", preference: 13000, protocol: "smtp", port: 25 },
		]);
	});

	test("a domain without records is its own exchange, by SMTP", () => {
		expect(mxRoutes("Example.COM.", [])).toEqual({
			routes: [{ exchange: "example.com", preference: 0, protocol: "smtp", port: 25 }],
		});
	});

	test("a null MX is a D, with and without its dot", () => {
		for (const exchange of ["", "."]) {
			expect(refusalOf([record(0, exchange)])).toEqual({
				status: "D",
				description: "Sorry, example.com takes no mail, as its null MX says. (#5.1.10)",
			});
		}
	});

	test("an empty exchange among others is passed over", () => {
		expect(exchangesOf([record(0, "."), record(10, "a.example")])).toEqual(["a.example"]);
	});

	test("names are in lower case and without the last dot, and each comes once, with its best preference", () => {
		const records = [record(20, "a.example"), record(10, "A.Example."), record(12801, "a.EXAMPLE")];
		expect(routesOf(records)).toEqual([
			{ exchange: "a.example", preference: 10, protocol: "smtp", port: 25 },
		]);
	});

	test("what no host can be called is passed over", () => {
		const bogus = [
			...["192.0.2.1", "[192.0.2.1]", "2001:db8::1", "a..example", ".example", "a b.example", "..", "a\\.b"],
			...["ä.example", "a/b.example", `${"x".repeat(64)}.example`, `${"x.".repeat(130)}example`],
		];
		const records = bogus.map((exchange, index) => record(index, exchange));
		expect(exchangesOf([...records, record(99, "mx_1.a-b.example")])).toEqual(["mx_1.a-b.example"]);
		expect(refusalOf(records)).toEqual({
			status: "D",
			description:
				"Sorry, none of the mail exchangers of example.com has a name that a host can have. (#5.4.4)",
		});
	});

	test("exchanges that are no better than ourselves are left out", () => {
		const records = [
			record(12817, "us.example"),
			record(12801, "better.example"),
			record(12817, "equal.example"),
			record(13000, "worse.example"),
		];
		const isOurself = (exchange: string) => exchange === "us.example";
		expect(exchangesOf(records, { isOurself })).toEqual(["better.example"]);
	});

	test("a domain whose best exchange is ourselves is a D, with the words of notqmail", () => {
		const isOurself = (exchange: string) => exchange === "us.example" || exchange === "example.com";
		const refusal = { status: "D", description: OURSELF };
		expect(refusalOf([record(5, "US.example."), record(5, "a.example")], { isOurself })).toEqual(refusal);
		expect(refusalOf([], { isOurself })).toEqual(refusal);
	});

	test("equal preferences come in each order, equally often", () => {
		const records = ["a.example", "b.example", "c.example"].map((exchange) => record(12801, exchange));
		// All that three draws of six numbers can be: each of the six orders from as many of them.
		const sixths = [0, 1, 2, 3, 4, 5].map((number) => number / 6);
		const orders = new Map<string, number>();
		for (const first of sixths) {
			for (const second of sixths) {
				const draws = [first, second];
				const order = exchangesOf(records, { random: () => draws.shift() as number }).join();
				orders.set(order, (orders.get(order) ?? 0) + 1);
			}
		}
		expect([...orders.values()]).toEqual([6, 6, 6, 6, 6, 6]);
	});

	test("whatever the records, each good exchange comes once, best first", () => {
		const names = fc.constantFrom("a.example", "b.example", "c.example", "D.example.", "", "192.0.2.1");
		const records = fc.array(
			fc.record({ exchange: names, preference: fc.nat(3).map((number) => 12800 + number) }),
			{ minLength: 1 },
		);
		fc.assert(
			fc.property(records, (given) => {
				const routes = routesOf(given);
				const good = given.filter(({ exchange }) => exchange.includes("example"));
				const plain = new Set(good.map(({ exchange }) => exchange.toLowerCase().replace(/\.$/, "")));
				expect(routes.map(({ exchange }) => exchange).sort()).toEqual([...plain].sort());
				const preferences = routes.map(({ preference }) => preference);
				expect(preferences).toEqual(preferences.toSorted((one, other) => one - other));
			}),
		);
	});
});

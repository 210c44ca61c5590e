/** The names of clients: only those that lead back to the address, and none that takes too long. */
import { afterEach, describe, expect, test, vi } from "vitest";
import { type HostResolver, remoteHost } from "../../src/access/remote-host.js";

afterEach(() => void vi.useRealTimers());

/** A resolver for these names of any address, and these addresses of each name. */
function resolverOf(names: string[], addresses: Record<string, string[]>) {
	const resolve = vi.fn(async (name: string) => {
		const found = addresses[name];
		if (found === undefined) throw Object.assign(new Error("queryA ENOTFOUND"), { code: "ENOTFOUND" });
		return found;
	});
	return {
		reverse: vi.fn(async (_: string) => names),
		resolve4: resolve,
		resolve6: vi.fn(resolve),
		cancel: vi.fn(),
	} satisfies HostResolver;
}

describe("the name of a client", () => {
	test.each([
		["192.0.2.1", "mail.example.com", "192.0.2.1"],
		["192.0.2.1", "MAIL.Example.com.", "192.0.2.1"],
		["192.0.2.1", "a_b-c.example", "192.0.2.1"],
		["::ffff:192.0.2.1", "mail.example.com", "192.0.2.1"],
		["::ffff:c000:201", "mail.example.com", "192.0.2.1"],
		["2001:db8::1", "mail.example.com", "2001:DB8:0:0::1"],
		["fe80::1%eth0", "mail.example.com", "fe80:0::1"],
	])("%s is %j, which has %s", async (address, name, forward) => {
		const lower = name.toLowerCase().replace(/\.$/, "");
		const resolver = resolverOf([name], { [lower]: ["198.51.100.7", "::7", forward] });
		expect(await remoteHost(address, { resolver })).toBe(lower);
		expect(resolver.cancel).toHaveBeenCalledOnce();
	});

	test("is looked up by the address without its scope, and back in its own family", async () => {
		const resolver = resolverOf(["a", "b"], { b: ["fe80::1"] });
		expect(await remoteHost("FE80:0::1%eth0", { resolver })).toBe("b");
		expect(resolver.reverse).toHaveBeenCalledExactlyOnceWith("fe80::1");
		expect(resolver.resolve6.mock.calls).toEqual([["a"], ["b"]]);
		expect(await remoteHost("::ffff:192.0.2.1", { resolver })).toBeUndefined();
		expect(resolver.reverse).toHaveBeenLastCalledWith("192.0.2.1");
	});

	test("is none if the name leads to other addresses, or to none", async () => {
		expect(
			await remoteHost("192.0.2.1", {
				resolver: resolverOf(["trusted.example"], { "trusted.example": ["192.0.2.2"] }),
			}),
		).toBeUndefined();
		expect(await remoteHost("192.0.2.1", { resolver: resolverOf(["trusted.example"], {}) })).toBeUndefined();
		expect(await remoteHost("192.0.2.1", { resolver: resolverOf([], {}) })).toBeUndefined();
	});

	test.each(["", ".", "a..b", "a b", "a\n", "é.example", "\u212a.example", "a@b", "=a", "x".repeat(255)])(
		"is not %j",
		async (name) => {
			const resolver = resolverOf([name], { [name]: ["192.0.2.1"], [name.toLowerCase()]: ["192.0.2.1"] });
			expect(await remoteHost("192.0.2.1", { resolver })).toBeUndefined();
			expect(resolver.resolve4).not.toHaveBeenCalled();
		},
	);

	test("is looked for among eight at most", async () => {
		const names = Array.from({ length: 100 }, (_, i) => `host${i}.example`);
		const resolver = resolverOf(names, { "host7.example": ["192.0.2.1"], "host8.example": ["192.0.2.2"] });
		expect(await remoteHost("192.0.2.1", { resolver })).toBe("host7.example");
		expect(await remoteHost("192.0.2.2", { resolver })).toBeUndefined();
		expect(resolver.resolve4).toHaveBeenCalledTimes(16);
	});

	test.each(["", "localhost", "192.0.2", "x%y"])(
		"is not asked for where there is no address: %j",
		async (address) => {
			const resolver = resolverOf(["a"], { a: [address] });
			expect(await remoteHost(address, { resolver })).toBeUndefined();
			expect(resolver.reverse).not.toHaveBeenCalled();
		},
	);

	test("is none when a resolver throws or rejects", async () => {
		for (const reverse of [
			() => {
				throw new Error("at once");
			},
			() => Promise.reject(new Error("later")),
		]) {
			expect(await remoteHost("192.0.2.1", { resolver: { ...resolverOf([], {}), reverse } })).toBeUndefined();
		}
	});
});

describe("a lookup that takes too long", () => {
	const never = () => new Promise<string[]>(() => {});

	test.each([
		["the name", { reverse: never }],
		["the address", { resolve4: never }],
	])("of %s is given up, cancelled, and leaves no timer", async (_, slow) => {
		vi.useFakeTimers();
		const resolver = { ...resolverOf(["a"], {}), ...slow };
		const name = remoteHost("192.0.2.1", { resolver });
		await vi.advanceTimersByTimeAsync(25_999);
		expect(resolver.cancel).not.toHaveBeenCalled();
		await vi.advanceTimersByTimeAsync(1);
		expect(await name).toBeUndefined();
		expect(resolver.cancel).toHaveBeenCalledOnce();
		expect(vi.getTimerCount()).toBe(0);
	});

	test("may be given another time", async () => {
		expect(
			await remoteHost("192.0.2.1", { timeout: 1, resolver: { ...resolverOf([], {}), reverse: never } }),
		).toBeUndefined();
	});

	test("rejects nowhere when its cancelled questions do", async () => {
		let fail: ((error: Error) => void) | undefined;
		const reverse = () => new Promise<string[]>((_, reject) => (fail = reject));
		const cancel = () => fail?.(new Error("queryPtr ECANCELLED"));
		const resolver = { ...resolverOf([], {}), reverse, cancel };
		expect(await remoteHost("192.0.2.1", { timeout: 1, resolver })).toBeUndefined();
	});

	test("with the system's resolver ends, whatever it says", async () => {
		const name = await remoteHost("192.0.2.1", { timeout: 50 });
		expect(name === undefined || typeof name === "string").toBe(true);
	});
});

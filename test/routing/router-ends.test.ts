/** How deliveries are given up, how a router ends, and what a caller may not do. */
import { afterEach, beforeEach, describe, expect, onTestFinished, test, vi } from "vitest";
import type { RouterOptions } from "../../src/routing/router/options.js";
import { type DeliverOptions, MailRouter } from "../../src/routing/router.js";
import { deafPort } from "../support/client-deaf-server.js";
import { noUnhandledRejections } from "../support/client-rejections.js";
import { EndlessSource, hangingSource, STREAM_KINDS } from "../support/client-sources.js";
import {
	freshAddress,
	oneExchange,
	outcomes,
	qmtpHost,
	routed,
	routerFor,
	scriptedHost,
	smtpHost,
	type Zone,
	ZoneResolver,
} from "../support/router-hosts.js";
import { Gate, turns } from "../support/server-signal.js";
import { onceBody } from "../support/smtp-peer.js";

noUnhandledRejections();

const REASON = new Error("changed my mind");
const NEVER = (): Promise<never> => new Promise(() => {});

/** A delivery that has come to some point, where it hangs. */
interface Hanging {
	readonly router: MailRouter;
	readonly mail?: Partial<DeliverOptions>;
	/** Resolves when it has come there. */
	readonly reached: () => Promise<unknown>;
	/** Resolves when nothing of it is left. */
	readonly gone?: () => Promise<unknown>;
	/** How it ends if the router is destroyed. */
	readonly destroyed?: object;
}

const POINTS: Record<string, () => Promise<Hanging>> = {
	...Object.fromEntries(
		STREAM_KINDS.map((kind) => [
			`while a ${kind} hangs`,
			async () => {
				const source = hangingSource(kind, [Buffer.alloc(2_000_000, "x\n")]);
				return {
					router: routerFor({}).router,
					mail: { message: source.message },
					reached: () => source.asked,
					// A generator that hangs cannot be let go of.
					...(kind === "generator" ? {} : { gone: () => source.released }),
				};
			},
		]),
	),
	"while a Body hangs": async () => {
		const asked = new Gate();
		const message = onceBody(5, async function* () {
			asked.open();
			await NEVER();
			yield Buffer.from("hello");
		});
		return { router: routerFor({}).router, mail: { message }, reached: () => asked.promise };
	},
	"while a Body with CRLF hangs": async () => {
		const asked = new Gate();
		const message = onceBody(5, async function* () {
			asked.open();
			await NEVER();
			yield Buffer.from("hello");
		});
		return {
			router: routerFor({}).router,
			mail: { message, encoding: "crlf" },
			reached: () => asked.promise,
		};
	},
	"while a stream goes on for ever": async () => {
		const message = new EndlessSource();
		return {
			router: routerFor({}).router,
			mail: { message },
			reached: () => message.changes.until(() => message.given > 10),
			gone: () => message.changes.until(() => message.released),
		};
	},
	"while it looks for Received fields": async () => {
		const asked = new Gate();
		const message = {
			...onceBody(5, async function* () {
				asked.open();
				await NEVER();
				yield Buffer.from("hello");
			}),
			repeatable: true,
		};
		return { router: routerFor({}).router, mail: { message }, reached: () => asked.promise };
	},
	"while it looks up MX records": () => lookingUp({ mx: { "example.com": waits } }),
	"while it looks up addresses": () => lookingUp({ mx: { "example.com": ["1 a"] }, addresses: { a: waits } }),
	"while it asks a resolver that does not heed signals": () => lookingUp({ mx: { "example.com": NEVER } }),
	"while it connects by QMTP": () => connecting(12801),
	"while it connects by SMTP": () => connecting(10),
	"while a QMTP server does not read": async () => {
		const address = freshAddress();
		const qmtp = await scriptedHost(address, ({ socket }) => socket.pause());
		return {
			router: routerFor(oneExchange(address, 12801)).router,
			mail: { message: Buffer.alloc(30_000_000, "x\n") },
			reached: async () => {
				await qmtp.changes.until(() => qmtp.connections.length > 0);
				await turns(50);
			},
			destroyed: {
				status: "Z",
				protocol: "qmtp",
				error: { code: "ERR_QMTP_DESTROYED" },
				possiblyAccepted: false,
			},
		};
	},
	"while a QMTP server does not answer": async () => {
		const address = freshAddress();
		const qmtp = await scriptedHost(address, () => {});
		return {
			router: routerFor(oneExchange(address, 12801)).router,
			reached: async () => {
				await qmtp.changes.until(() => qmtp.connections.length > 0);
				await qmtp.connections[0]?.received();
			},
			destroyed: {
				status: "Z",
				protocol: "qmtp",
				error: { code: "ERR_QMTP_DESTROYED" },
				possiblyAccepted: true,
			},
		};
	},
	...Object.fromEntries(
		(["greeting", "EHLO", "MAIL", "RCPT", "DATA", "message"] as const).map((step) => [
			`while an SMTP server does not answer ${step}`,
			async () => {
				const address = freshAddress();
				const reached = new Gate();
				const smtp = await smtpHost(address, {
					[step]: () => {
						reached.open();
						return null;
					},
				});
				return {
					router: routerFor(oneExchange(address, 10)).router,
					reached: () => reached.promise,
					gone: () => smtp.peers[0]?.gone() ?? Promise.resolve(),
					destroyed: {
						status: "Z",
						error: { code: "ERR_QMTP_DESTROYED" },
						possiblyAccepted: step === "message",
					},
				};
			},
		]),
	),
};

/** A look-up that hangs, and ends with its signal. */
function waits({ signal }: { signal?: AbortSignal | undefined }): Promise<never> {
	return new Promise((_, reject) => {
		signal?.addEventListener("abort", () => reject(signal.reason), { once: true });
	});
}

async function lookingUp(zone: Zone): Promise<Hanging> {
	const { router, resolver } = routerFor(zone);
	const questions = "addresses" in zone ? 2 : 1;
	return { router, reached: () => resolver.changes.until(() => resolver.questions.length === questions) };
}

async function connecting(preference: number): Promise<Hanging> {
	const port = await deafPort();
	const { router, resolver } = routerFor(oneExchange("127.0.0.1", preference), {
		ports: { qmtp: port, smtp: port },
	});
	return {
		router,
		reached: async () => {
			await resolver.changes.until(() => resolver.questions.length === 2);
			await turns(50);
		},
	};
}

/** What is under way in this process, but for timers, of which the test runner has some, and connections that are made. */
function resources(): string[] {
	const kinds = process.getActiveResourcesInfo().sort();
	return kinds.filter((kind) => /^(FSReq|FileHandle|TCPConnectWrap)/.test(kind));
}

describe("a delivery", () => {
	test.each(Object.keys(POINTS))("is given up %s", async (name) => {
		const { router, mail, reached, gone } = await (POINTS[name] as (typeof POINTS)[string])();
		const stop = new AbortController();
		const call = router.deliver(routed(mail), { signal: stop.signal });
		await reached();
		stop.abort(REASON);
		await expect(call).rejects.toBe(REASON);
		await gone?.();
		router.destroy(); // close() would wait 5 seconds for a server that does nothing
		await router.close();
	});

	test.each(Object.keys(POINTS))(
		"is a Z if the router is destroyed %s, and the router ends",
		async (name) => {
			const { router, mail, reached, gone, destroyed } = await (POINTS[name] as (typeof POINTS)[string])();
			const before = resources();
			const call = router.deliver(routed(mail));
			await reached();
			router.destroy();
			const result = await call;
			expect(result.responses).toMatchObject([
				destroyed ?? { status: "Z", error: { code: "ERR_QMTP_DESTROYED" }, possiblyAccepted: false },
			]);
			await gone?.();
			await router.close();
			await turns();
			expect(resources()).toEqual(before);
			await expect(router.deliver(routed())).rejects.toMatchObject({ code: "ERR_QMTP_CLIENT_CLOSED" });
		},
	);

	test("is not begun if its signal is aborted, and the stream is let go of", async () => {
		const { router, resolver } = routerFor({});
		const { message, released } = hangingSource("Readable", []);
		const signal = AbortSignal.abort(REASON);
		await expect(router.deliver(routed({ message }), { signal })).rejects.toBe(REASON);
		await released;
		expect(resolver.questions).toEqual([]);
	});

	test("that is given up leaves others alone, and what was taken stays taken", async () => {
		const [one, two] = [freshAddress(), freshAddress()];
		const good = await qmtpHost(one);
		const hanging = await scriptedHost(two, () => {});
		const { router } = routerFor({
			mx: { "a.example": ["12801 a"], "b.example": ["12801 b"] },
			addresses: { a: [one], b: [two] },
		});
		const stop = new AbortController();
		const given = router.deliver(routed({ recipients: ["a@a.example", "b@b.example"] }), {
			signal: stop.signal,
		});
		await good.changes.until(() => good.connections > 0);
		await hanging.changes.until(() => hanging.connections.length > 0);
		await hanging.connections[0]?.received();
		const other = router.deliver(routed({ recipients: ["c@a.example"] }));
		expect((await other).accepted).toEqual(["c@a.example"]);
		stop.abort(REASON);
		await expect(given).rejects.toBe(REASON);
		expect(good.mail).toHaveLength(2);
	});

	test("of which a part is done when the router is destroyed keeps that part", async () => {
		const [one, two] = [freshAddress(), freshAddress()];
		const good = await qmtpHost(one);
		const hanging = await scriptedHost(two, () => {});
		const { router } = routerFor({
			mx: { "a.example": ["12801 a"], "b.example": ["12801 b"], "c.example": NEVER },
			addresses: { a: [one], b: [two] },
		});
		const call = router.deliver(routed({ recipients: ["c@c.example", "a@a.example", "b@b.example"] }));
		await hanging.changes.until(() => hanging.connections.length > 0);
		await hanging.connections[0]?.received();
		await good.changes.until(() => good.mail.length > 0);
		// Its K is on its way when the message is in the queue; the next call is behind it on the connection.
		await router.deliver(routed({ recipients: ["d@a.example"] }));
		router.destroy();
		expect(outcomes(await call)).toEqual([
			"Z ERR_QMTP_DESTROYED",
			`K qmtp ${one}`,
			`Z qmtp ${two} ERR_QMTP_DESTROYED`,
		]);
	});
});

describe("close()", () => {
	test("waits for what is under way, and refuses what comes later", async () => {
		const address = freshAddress();
		const gate = new Gate<string[]>();
		const qmtp = await qmtpHost(address);
		const { router } = routerFor({
			mx: { "example.com": () => gate.promise },
			addresses: { a: [address] },
		});
		const call = router.deliver(routed());
		let closed = false;
		const closing = router.close().then(() => {
			closed = true;
		});
		expect(router.close()).toBe(router.close());
		const { message, released } = hangingSource("Readable", []);
		await expect(router.deliver(routed({ message }))).rejects.toMatchObject({
			code: "ERR_QMTP_CLIENT_CLOSED",
		});
		await released;
		await turns();
		expect(closed).toBe(false);
		gate.open(["12801 a"]);
		expect((await call).accepted).toEqual(["a@example.com"]);
		await closing;
		await qmtp.changes.until(() => qmtp.server.connections === 0);
		await router[Symbol.asyncDispose]();
	});

	test("of a router that was never used, twice, and destroy() behind and before it", async () => {
		const { router } = routerFor({});
		await router.close();
		await router.close();
		router.destroy();
		const other = routerFor({}).router;
		other.destroy();
		other.destroy();
		await other.close();
	});

	test("leaves no connection and no timer", async () => {
		const [one, two] = [freshAddress(), freshAddress()];
		const [qmtp, smtp] = [await qmtpHost(one), await smtpHost(two, {})];
		const { router } = routerFor({
			mx: { "a.example": ["12801 a"], "b.example": ["1 b"] },
			addresses: { a: [one], b: [two] },
		});
		await router.deliver(routed({ recipients: ["a@a.example", "b@b.example"] }));
		expect([qmtp.server.connections, smtp.peers[0]?.closed]).toEqual([1, false]);
		await router.close();
		await smtp.peers[0]?.gone();
		expect(smtp.peers[0]?.commands.at(-1)).toBe("QUIT");
		await qmtp.changes.until(() => qmtp.server.connections === 0);
	});

	test.each([
		["close()", (router: MailRouter) => void router.close()],
		["its idle time", () => void vi.advanceTimersByTime(60_000)],
	])(
		"is not held up by a server that does not answer QUIT after %s, if destroy() follows",
		async (_, begin) => {
			vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] }); // so that the client's patience never ends
			onTestFinished(() => {
				vi.useRealTimers();
			});
			const address = freshAddress();
			const smtp = await smtpHost(address, { QUIT: null });
			const { router } = routerFor(oneExchange(address, 10));
			await router.deliver(routed());
			begin(router);
			await smtp.peers[0]?.said("QUIT");
			router.destroy();
			await router.close();
			await smtp.peers[0]?.gone();
		},
	);

	test("waits for connections that are being closed because they were idle", async () => {
		const address = freshAddress();
		const quit = new Gate<string>();
		const smtp = await smtpHost(address, { QUIT: () => quit.promise });
		const { router } = routerFor(oneExchange(address, 10), { timeouts: { idle: 20 } });
		await router.deliver(routed());
		await smtp.peers[0]?.said("QUIT");
		let closed = false;
		const closing = router.close().then(() => {
			closed = true;
		});
		await turns();
		expect(closed).toBe(false);
		quit.open("221 bye");
		await closing;
	});
});

describe("misuse", () => {
	let router: MailRouter;
	let resolver: ZoneResolver;
	beforeEach(() => {
		resolver = new ZoneResolver({});
		router = new MailRouter({ resolver });
	});
	afterEach(() => router.close());

	const deliveries: Record<string, [options: object, code: string]> = {
		"no recipients": [{ recipients: [] }, "ERR_QMTP_RECIPIENTS"],
		"recipients left out": [{ recipients: undefined }, "ERR_QMTP_RECIPIENTS"],
		"a recipient that is no string": [{ recipients: ["a@example.com", 7] }, "ERR_QMTP_ADDRESS"],
		"a sender that is no string": [{ sender: null }, "ERR_QMTP_ADDRESS"],
		"half a surrogate pair": [{ recipients: ["\ud800@example.com"] }, "ERR_QMTP_ADDRESS"],
		"a host that is no string": [{ host: 7 }, "ERR_QMTP_OPTION"],
		"an empty host": [{ host: "" }, "ERR_QMTP_OPTION"],
	};
	test.each(Object.keys(deliveries))("of deliver(): %s; the stream is let go of", async (name) => {
		const [options, code] = deliveries[name] as (typeof deliveries)[string];
		const source = hangingSource("Readable", []);
		const call = router.deliver({ ...routed({ message: source.message }), ...options } as DeliverOptions);
		await expect(call).rejects.toMatchObject({ name: "UsageError", code });
		await source.released;
		expect(resolver.questions).toEqual([]);
	});

	test.each([
		["nothing", undefined],
		["a number", 7],
		["an array", [1, 2]],
		["an object with some of what a Body has", { chunks: 7 }],
	])("of deliver(): a message that is %s", async (_, message) => {
		const call = router.deliver(routed({ message: message as unknown as string }));
		await expect(call).rejects.toMatchObject({ name: "UsageError", code: "ERR_QMTP_MESSAGE" });
	});

	test("of deliver(): an encoding or a size that is none", async () => {
		for (const options of [{ encoding: "cr" }, { size: -1 }]) {
			const call = router.deliver({ ...routed(), ...options } as DeliverOptions);
			await expect(call).rejects.toMatchObject({ name: "UsageError", code: "ERR_QMTP_MESSAGE" });
		}
	});

	const options: Record<string, object> = {
		"an unknown option": { retries: 3 },
		"an unknown timeout": { timeouts: { session: 5 } },
		"a timeout of 0": { timeouts: { connect: 0 } },
		"an unknown port": { ports: { lmtp: 24 } },
		"a port too large": { ports: { qmtp: 65_536 } },
		"half a port": { ports: { smtp: 25.5 } },
		"a resolver without methods": { resolver: {} },
		"a resolver with one method": { resolver: { mx: () => [] } },
		"routes that are lines": { qmtpRoutes: ["a:b"] },
		"routes that are no routes": { smtpRoutes: {} },
		"a hostname that is no string": { hostname: 7 },
		"a hostname of two lines": { hostname: "a\r\nMAIL FROM:<>" },
		"an empty hostname": { hostname: "" },
		"a TLS that is none": { smtpTls: "always" },
		"options of TLS that are none": { smtpTlsOptions: 7 },
		"a limit of 0": { maxReceived: 0 },
		"a limit that is no number": { maxReceived: "many" },
		"an encoding that is none": { addressEncoding: "ascii" },
		"ourself by name": { isOurself: "mx.example" },
		"chance that is a number": { random: 4 },
	};
	test.each(Object.keys(options))("of the options: %s", (name) => {
		expect(() => new MailRouter(options[name] as RouterOptions)).toThrow(
			expect.objectContaining({ name: "UsageError", code: "ERR_QMTP_OPTION" }),
		);
	});

	test("is not to leave options out, or to say that they are undefined", async () => {
		for (const all of [
			undefined,
			{},
			{ resolver: undefined, qmtpRoutes: null, hostname: undefined, isOurself: undefined },
		]) {
			await new MailRouter(all).close();
		}
	});
});

test("an array of recipients may change during a delivery", async () => {
	const address = freshAddress();
	const qmtp = await qmtpHost(address);
	const { router } = routerFor(oneExchange(address, 12801));
	onTestFinished(() => router.close());
	const recipients = ["a@example.com"];
	const call = router.deliver(routed({ recipients }));
	recipients[0] = "b@example.com";
	recipients.push("c@example.com");
	expect((await call).accepted).toEqual(["a@example.com"]);
	expect(qmtp.mail).toHaveLength(1);
});

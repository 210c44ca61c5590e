/** The `authorize` hook: who may talk, and with which rights. */
import { describe, expect, test } from "vitest";
import type { Access, Peer } from "../../src/protocol/peer.js";
import { deferred } from "../../src/protocol/response.js";
import { Bench, PEER } from "../support/server-bench.js";
import { mail, RECIPIENT } from "../support/server-client.js";
import { Gate, turns } from "../support/server-signal.js";

const NOT_AUTHORIZED = "Ztemporary failure of authorization (#4.3.0)";

const authorizing = (authorize: (peer: Peer) => unknown) => ({
	authorize: authorize as (peer: Peer) => Access,
});

test("authorize sees the peer before anything is read, and nothing is read before it has answered", async () => {
	const gate = new Gate<Access>();
	const peers: Peer[] = [];
	const bench = new Bench({
		hooks: authorizing((peer) => {
			peers.push(peer);
			return gate.promise;
		}),
	});
	const client = bench.talk();
	client.end(mail());
	await turns();
	expect(peers).toEqual([PEER]);
	expect(bench.queue.calls).toEqual([]);
	gate.open(true);
	expect(await client.all()).toEqual(["Kok"]);
});

test("over TCP authorize sees the addresses of the socket", async () => {
	const peers: Peer[] = [];
	const bench = new Bench({ hooks: authorizing((peer) => peers.push(peer) > 0) });
	const client = await bench.connect();
	const { localPort } = client.socket;
	client.end(mail());
	await client.all();
	expect(peers).toEqual([
		{
			remoteAddress: "127.0.0.1",
			remotePort: localPort,
			localAddress: "127.0.0.1",
			localPort: await bench.port(),
		},
	]);
});

test.each([
	["false", false],
	["undefined", undefined],
	["null", null],
	["zero", 0],
	["one", 1],
	["a text", "yes"],
])("a client is closed without a word when authorize answers %s", async (_, answer) => {
	for (const wrapped of [answer, Promise.resolve(answer)]) {
		const bench = new Bench({ hooks: authorizing(() => wrapped) });
		expect(await bench.exchange(mail())).toEqual([]);
		expect(bench.disconnects).toEqual([{ peer: PEER, packages: 0 }]);
		expect(bench.queue.calls).toEqual([]);
	}
});

describe.each([
	[
		"throws",
		() => {
			throw new Error("no database");
		},
	],
	["rejects", () => Promise.reject(new Error("no database"))],
	["answers with a limit that is no number", () => ({ messageBytes: Number.NaN })],
	["answers with a limit below zero", () => turns(1).then(() => ({ messageBytes: -1 }))],
])("when authorize %s", (_, authorize) => {
	test("every recipient of every package gets Z, nothing is opened, no hook is asked, and the connection stays", async () => {
		const asked: string[] = [];
		const bench = new Bench({
			hooks: {
				...authorizing(authorize),
				message: () => void asked.push("message"),
				sender: () => void asked.push("sender"),
				recipient: () => void asked.push("recipient"),
			},
			limits: { recipients: 2 },
		});
		const client = bench.talk();
		client.send(mail());
		expect(await client.receives(1)).toEqual([NOT_AUTHORIZED]);
		client.end(
			mail({ message: `\r${"x".repeat(5000)}`, sender: "\0", recipients: ["a", "\0", "c"] }) + mail(),
		);
		expect(await client.all()).toEqual(Array(5).fill(NOT_AUTHORIZED));
		expect(asked).toEqual([]);
		expect(bench.queue.calls).toEqual([]);
		expect(bench.takeFault().context).toEqual({ peer: PEER });
	});
});

describe("while authorize has not answered", () => {
	const pending = () => {
		const gate = new Gate<Access>();
		const called = new Gate();
		const bench = new Bench({
			hooks: authorizing(() => {
				called.open();
				return gate.promise;
			}),
		});
		return { bench, gate, called };
	};

	test("close() ends the connection at once, and a late answer or failure is dropped", async () => {
		for (const late of ["open", "fail"] as const) {
			const { bench, gate, called } = pending();
			const client = bench.talk();
			client.send(mail());
			await called.promise;
			await bench.server.close();
			expect(await client.all()).toEqual([]);
			if (late === "open") gate.open(true);
			else gate.fail(new Error("late"));
			await turns();
			expect(bench.queue.calls).toEqual([]);
		}
	});

	test("destroy() does too", async () => {
		const { bench, called } = pending();
		const client = bench.talk();
		await called.promise;
		bench.server.destroy();
		await bench.server.close();
		expect(await client.all()).toEqual([]);
		expect(bench.disconnects[0]?.error).toMatchObject({ code: "ERR_QMTP_DESTROYED" });
	});

	test.each(["close", "destroy"] as const)(
		"%s() called by authorize itself ends the connection",
		async (how) => {
			const closing = new Gate();
			const bench: Bench = new Bench({
				hooks: authorizing(() => {
					bench.server[how]();
					closing.open();
					return how === "close" ? new Promise(() => {}) : Promise.reject(new Error("never heard"));
				}),
			});
			const client = bench.talk();
			await closing.promise;
			await bench.server.close();
			expect(await client.all()).toEqual([]);
			expect(bench.server.connections).toBe(0);
		},
	);
});

describe("the rights that authorize gives", () => {
	test("stand in MessageInfo", async () => {
		const rights = { relay: true, messageBytes: 77, suffix: "@x" };
		const bench = new Bench({ hooks: authorizing(() => rights) });
		await bench.exchange(mail());
		expect(bench.queue.deliveries[0]?.info.access).toEqual(rights);
	});

	test("are none if the answer is true, or if there is no hook", async () => {
		for (const hooks of [{}, authorizing(() => true), authorizing(() => Promise.resolve({}))]) {
			const bench = new Bench({ hooks });
			expect(await bench.exchange(mail())).toEqual(["Kok"]);
			expect(bench.queue.deliveries[0]?.info.access).toEqual({});
		}
	});

	test("messageBytes takes the place of the server's limit, upward and downward", async () => {
		const tooLarge = "Dsorry, that message size exceeds my databytes limit (#5.3.4)";
		const packages =
			mail({ message: "\n12345" }) + mail({ message: "\n123456" }) + mail({ message: "\r123456" });
		const downward = new Bench({ hooks: authorizing(() => ({ messageBytes: 5 })) });
		expect(await downward.exchange(packages)).toEqual(["Kok", tooLarge, tooLarge]);
		const upward = new Bench({
			hooks: authorizing(() => ({ messageBytes: 6 })),
			limits: { messageBytes: 5 },
		});
		expect(await upward.exchange(packages)).toEqual(["Kok", "Kok", "Kok"]);
		const none = new Bench({ hooks: authorizing(() => ({ messageBytes: 0 })) });
		expect(await none.exchange(mail({ message: "\n" }) + mail({ message: "\r\n" }))).toEqual([
			"Kok",
			tooLarge,
		]);
	});

	test("are those of that connection alone", async () => {
		const small: Peer = { ...PEER, remoteAddress: "192.0.2.99" };
		const bench = new Bench({
			hooks: {
				...authorizing(({ remoteAddress }) => remoteAddress !== small.remoteAddress || { messageBytes: 1 }),
				recipient: (_, { access }) => (access.relay === true ? undefined : deferred("stranger")),
			},
		});
		expect(await bench.exchange(mail(), small)).toEqual(["Zstranger"]);
		expect(await bench.exchange(mail({ recipients: [RECIPIENT] }))).toEqual(["Zstranger"]);
		expect(bench.reports.map(({ message }) => message.access)).toEqual([{ messageBytes: 1 }, {}]);
	});
});

import type { AddressInfo } from "node:net";
import { SMTPServer } from "smtp-server";
import { expect, onTestFinished, test } from "vitest";
import { TransportError } from "../../src/errors.js";
import { accepted, deferred } from "../../src/protocol/response.js";
import { memoryQueue } from "../../src/queue/memory.js";
import type { Job, Source } from "../../src/queue/source.js";
import type { Deliverer, RelayMail } from "../../src/relay/deliverer.js";
import { Relay, type RelayOptions } from "../../src/relay/relay.js";
import { makeRelay, START, startHop, startRelay } from "../support/relay-mail.js";
import { freshAddress, oneExchange, qmtpHost, routerFor } from "../support/router-hosts.js";
import { Gate, Signal } from "../support/server-signal.js";

/** Delivers into a list, when the test lets it. */
class HeldDeliverer implements Deliverer {
	readonly begun: RelayMail[] = [];
	readonly changes = new Signal();
	readonly #held: Gate[] = [];
	most = 0;
	#active = 0;

	async deliver(mail: RelayMail) {
		this.begun.push(mail);
		this.most = Math.max(this.most, ++this.#active);
		const gate = new Gate();
		this.#held.push(gate);
		this.changes.notify();
		await gate.promise;
		this.#active--;
		return { responses: mail.recipients.map(() => accepted()) };
	}

	/** Lets one end. */
	release(): void {
		this.#held.shift()?.open();
	}

	until(begun: number): Promise<void> {
		return this.changes.until(() => this.begun.length >= begun);
	}
}

test("messages of all sizes arrive at a QMTP server as they are, large ones among small ones", async () => {
	const hop = await startHop();
	const test = await startRelay({ to: hop.url });
	const bodies = [0, 1, 1000, 262_144, 262_145, 3_000_000].map((size) => Buffer.alloc(size, "a line\n"));
	for (const body of bodies) await test.put({ body, recipients: ["ä@example.com", "b@example.com"] });
	await hop.until(bodies.length);
	await test.until("delivered", bodies.length);
	const arrived = hop.queue.messages.map(({ body }) => body.length).sort((a, b) => a - b);
	expect(arrived).toEqual(bodies.map(({ length }) => length));
	for (const { body, recipients, sender } of hop.queue.messages) {
		expect(Buffer.from(body).equals(Buffer.alloc(body.length, "a line\n"))).toBe(true);
		expect([sender, recipients]).toEqual(["sender@example.org", ["ä@example.com", "b@example.com"]]);
	}
	expect((await test.spool.stats()).messages).toBe(0);
	expect(test.all("fault")).toEqual([]);
});

test("an SMTP server gets mail over no more connections than it may, and its replies count", async () => {
	const arrived: string[] = [];
	let connections = 0;
	let most = 0;
	const server = new SMTPServer({
		authOptional: true,
		disabledCommands: ["STARTTLS"],
		onConnect: (_session, callback) => {
			most = Math.max(most, ++connections);
			callback();
		},
		onClose: () => {
			connections--;
		},
		onRcptTo: ({ address }, _session, callback) => {
			const refusal = Object.assign(new Error("5.1.1 no such user"), { responseCode: 550 });
			callback(address.startsWith("gone") ? refusal : null);
		},
		onData: async (stream, { envelope }, callback) => {
			const chunks: Buffer[] = [];
			for await (const chunk of stream) chunks.push(chunk as Buffer);
			const to = envelope.rcptTo.map(({ address }) => address).join();
			arrived.push(`${to}: ${Buffer.concat(chunks).toString().split("\r\n")[0]}`);
			callback();
		},
	});
	await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
	onTestFinished(() => new Promise<void>((resolve) => server.close(() => resolve())));
	const { port } = server.server.address() as AddressInfo;
	const test = await startRelay({ to: `smtp://127.0.0.1:${port}`, limits: { perDestination: 3 } });
	for (let number = 0; number < 12; number++) await test.put({ body: `Subject: ${number}\n\nx\n` });
	await test.put({ recipients: ["gone@example.com"] });
	await test.until("delivered", 13);
	expect(arrived.filter((line) => line.startsWith("one@example.com: Subject: "))).toHaveLength(12);
	expect(test.all("bounced")).toMatchObject([{ recipients: [{ description: "550 5.1.1 no such user" }] }]);
	expect(arrived.filter((line) => line.startsWith("sender@example.org"))).toHaveLength(1);
	expect(most).toBeLessThanOrEqual(3);
	expect(test.all("fault")).toEqual([]);
});

test("a router delivers to each domain, and a domain that cannot be reached rests alone", async () => {
	const address = freshAddress();
	const host = await qmtpHost(address);
	const zone = oneExchange(address, 12_801, "up.example");
	const { router, resolver } = routerFor({
		...zone,
		mx: { ...zone.mx, "down.example": "ERR_QMTP_DNS" },
	});
	const test = await startRelay({ to: router });
	await test.put({ recipients: ["a@up.example", "b@down.example", "c@UP.example"] });
	await test.until("deferred", 1);
	expect(host.mail).toEqual(["Subject: test\n\nhello\n for a@up.example, c@UP.example"]);
	expect(test.all("rest")).toMatchObject([{ destination: "down.example", until: START + 60_000 }]);
	expect(test.all("deferred")[0]).toMatchObject({
		recipients: [{ recipient: "b@down.example", attempted: true }],
	});
	expect(test.all("deferred")[0]?.nextAttempt).toBe(START + 400_000);
	await test.put({ recipients: ["d@down.example", "e@up.example"] });
	await test.until("deferred", 2);
	expect(test.all("deferred")[1]).toMatchObject({
		nextAttempt: START + 60_000,
		recipients: [{ recipient: "d@down.example", attempted: false }],
	});
	expect(resolver.questions.filter((question) => question === "mx down.example")).toHaveLength(1);
	expect(host.mail).toHaveLength(2);
});

test("who is tried is not tried again sooner because others found no place", async () => {
	const address = freshAddress();
	const tried: string[] = [];
	await qmtpHost(address, {
		hooks: {
			recipient: (recipient) => {
				tried.push(recipient);
				return deferred("later (#4.2.0)");
			},
		},
	});
	const zone = oneExchange(address, 12_801, "up.example");
	const { router } = routerFor({ ...zone, mx: { ...zone.mx, "down.example": "ERR_QMTP_DNS" } });
	const test = await startRelay({ to: router });
	await test.put({ recipients: ["a@down.example"] });
	await test.until("deferred", 1);
	await test.put({ recipients: ["b@down.example", "c@up.example"] });
	await test.until("deferred", 2);
	expect(test.all("deferred")[1]).toMatchObject({
		nextAttempt: START + 400_000,
		recipients: [{ attempted: false }, { attempted: true }],
	});
	expect(tried).toEqual(["c@up.example"]);
});

test("a busy destination does not hold up others, and gets what it has no room for later", async () => {
	const deliverer = new HeldDeliverer();
	const limits = { concurrency: 5, perDestination: 2, waiting: 3 };
	const test = await startRelay({ to: deliverer, limits });
	for (let number = 0; number < 8; number++) await test.put({ recipients: [`${number}@slow.example`] });
	await test.until("deferred", 3);
	for (let number = 0; number < 2; number++) await test.put({ recipients: [`${number}@other.example`] });
	await deliverer.until(4);
	expect(test.relay.stats()).toMatchObject({ active: 4, waiting: 3, deferred: 3 });
	expect(test.all("deferred")[0]).toMatchObject({
		nextAttempt: START + 30_000,
		recipients: [
			{ attempted: false, description: "too many messages for that destination at once (#4.4.5)" },
		],
	});
	for (let released = 0; released < 7; released++) {
		deliverer.release();
		await test.until("delivered", released + 1);
	}
	test.clock.moveTo(START + 30_000);
	for (let released = 7; released < 10; released++) {
		await deliverer.until(released + 1);
		deliverer.release();
		await test.until("delivered", released + 1);
	}
	expect(deliverer.most).toBe(4);
	expect(new Set(deliverer.begun.map(({ recipients }) => recipients[0])).size).toBe(10);
});

test("close() waits for what is under way, and sends back what waits for its turn", async () => {
	const deliverer = new HeldDeliverer();
	const test = await startRelay({ to: deliverer, limits: { perDestination: 1 } });
	for (let number = 0; number < 3; number++) await test.put({});
	await deliverer.until(1);
	await test.changes.until(() => true);
	const closed = test.relay.close();
	deliverer.release();
	await closed;
	expect(deliverer.begun).toHaveLength(1);
	expect(test.relay.stats()).toMatchObject({ messages: 0, active: 0, waiting: 0, delivered: 1 });
	const stats = await test.spool.stats();
	expect([stats.messages, stats.due]).toEqual([2, 2]); // at once for whoever comes next
	await expect(test.relay.start()).rejects.toMatchObject({ code: "ERR_QMTP_ENDED" });
});

test("destroy() interrupts deliveries, and their recipients stay", async () => {
	const asked = new Gate();
	const hop = await startHop({
		hooks: {
			recipient: async () => {
				asked.open();
				await new Promise(() => {});
			},
		},
	});
	const test = await startRelay({ to: hop.url });
	await test.put({});
	await asked.promise;
	test.relay.destroy();
	await test.relay.close();
	expect(test.all("deferred")).toMatchObject([{ nextAttempt: START + 400_000 }]);
	expect(test.all("rest")).toEqual([]);
	expect((await test.spool.stats()).messages).toBe(1);
});

test("a signal closes it, and so does await using", async () => {
	const hop = await startHop();
	const test = await makeRelay({ to: hop.url });
	const stop = new AbortController();
	await test.relay.start({ signal: stop.signal });
	stop.abort();
	await test.until("close", 1);
	expect(test.relay[Symbol.asyncDispose]()).toBe(test.relay.close());
});

test("a source that is no spool: jobs without a body in memory, and a source that fails for a while", async () => {
	const hop = await startHop();
	const settled: unknown[] = [];
	const done = new Gate();
	let calls = 0;
	const job: Job = {
		id: "1",
		envelope: { sender: "s@example.org", recipients: ["\u00e4\u00ff@example.com"] },
		addressEncoding: "latin1",
		body: {
			async *[Symbol.asyncIterator]() {
				yield Buffer.from("a\n");
				yield Buffer.from("b\n");
			},
		},
		size: 4,
		attempts: 0,
		queuedAt: Date.now(),
		settle: async (responses) => {
			settled.push(responses.map(({ status }) => status));
			done.open();
		},
	};
	const source: Source = {
		async *take({ signal } = {}) {
			if (++calls === 1) throw new Error("not yet");
			if (calls === 2) yield job;
			await new Promise((resolve) => signal?.addEventListener("abort", resolve));
		},
	};
	const faults: string[] = [];
	const clock = { now: Date.now, sleep: async () => {} };
	const relay = new Relay({ source, to: hop.url, bounces: memoryQueue(), clock });
	relay.on("fault", ({ message }) => faults.push(message));
	await relay.start();
	await done.promise;
	await relay.close();
	expect(settled).toEqual([["D"]]); // the server takes addresses as UTF-8 only
	expect(faults).toEqual(["not yet"]);
});

test("a settle that fails is tried again, and what stays unsettled is told", async () => {
	const hop = await startHop();
	const test = await makeRelay({ to: hop.url });
	let failures = 2;
	const source: Source = {
		async *take(options) {
			for await (const job of test.spool.take(options)) {
				const settle = job.settle.bind(job);
				job.settle = async (...values) => {
					if (failures-- > 0) throw new TransportErrorLike();
					await settle(...values);
				};
				yield job;
			}
		},
	};
	class TransportErrorLike extends TransportError {
		constructor() {
			super("ERR_QMTP_CONNECTION_LOST", "the disk is away");
		}
	}
	const relay = new Relay({
		source,
		to: hop.url,
		bounces: test.spool,
		clock: { now: test.clock.now, sleep: async () => {} },
	});
	const faults: string[] = [];
	const delivered = new Gate();
	relay.on("fault", ({ message }) => faults.push(message));
	relay.on("delivered", () => delivered.open());
	await relay.start();
	await test.put({});
	await delivered.promise;
	await relay.close();
	expect(faults).toEqual(["the disk is away", "the disk is away"]);
	expect(hop.queue.messages).toHaveLength(1);
	expect((await test.spool.stats()).messages).toBe(0);
});

test.each([
	["no source", { to: "mx" }, "source must have the method take"],
	["no place for bounces", { source: { take: () => {} }, to: "mx" }, "bounces must be a queue"],
	["no next hop", { source: memoryLike(), to: "example.com" }, "to must be mx"],
	["a limit of none", { source: memoryLike(), to: "mx", limits: { waiting: 0 } }, "limits.waiting"],
	["an unknown option", { source: memoryLike(), to: "mx", retries: 1 }, "there is no option retries"],
	[
		"an encoding for mx",
		{ source: memoryLike(), to: "mx", addressEncoding: "utf-8" },
		"addressEncoding is for",
	],
])("%s is refused", (_name, options, message) => {
	expect(() => new Relay(options as unknown as RelayOptions)).toThrow(message);
});

function memoryLike(): object {
	return { take: () => {}, open: () => {} };
}

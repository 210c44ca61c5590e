/** The limits of a server: what is a refusal, what ends the connection, and what is merely put off. */
import { describe, expect, test } from "vitest";
import { ProtocolError } from "../../src/errors.js";
import { Bench } from "../support/server-bench.js";
import { mail, RECIPIENT } from "../support/server-client.js";
import { turns } from "../support/server-signal.js";

const TOO_LARGE = "Dsorry, that message size exceeds my databytes limit (#5.3.4)";
const BAD_RECIPIENT = "Dsorry, I can't handle that recipient (#5.1.3)";
const BAD_SENDER = "Dunacceptable sender (#5.1.7)";
const TOO_MANY = "Zsorry, too many recipients in one package (#4.5.3)";

describe("limits.messageBytes", () => {
	const limits = { messageBytes: 10 };

	test("an LF message over it is refused at its declared length: no queue is opened", async () => {
		const bench = new Bench({ limits });
		expect(await bench.exchange(mail({ message: "\n12345678901" }) + mail())).toEqual([TOO_LARGE, "Kok"]);
		expect(bench.queue.deliveries.map(({ info }) => info.length)).toEqual([6]);
	});

	test("so is a CRLF message that is longer than twice of it", async () => {
		const bench = new Bench({ limits });
		expect(await bench.exchange(mail({ message: `\r${"\r\n".repeat(10)}x` }))).toEqual([TOO_LARGE]);
		expect(bench.queue.calls).toEqual([]);
	});

	test.each([
		["LF", "\n1234567890"],
		["CRLF with the shortest lines", `\r${"\r\n".repeat(10)}`],
		["CRLF without a line end", "\r1234567890"],
		["CRLF that ends in a CR", "\r123456789\r"],
		["CRLF with line ends", "\r1234\r\n5678\r\n"],
	])("a message that is exactly as long is taken: %s", async (_, message) => {
		for (const lines of ["lf", "as-sent"] as const) {
			const bench = new Bench({ limits, queue: { lines } });
			expect(await bench.exchange(mail({ message }))).toEqual(["Kok"]);
			expect(bench.queue.commits[0]?.text).toHaveLength(lines === "lf" ? 10 : message.length - 1);
			expect(bench.reports[0]?.bodyBytes).toBe(10);
		}
	});

	test.each([
		["LF ends", "\r12345678901"],
		["CR LF ends", "\r1234\r\n56789\r\n"],
		["a CR at the very end", "\r1234567890\r"],
	])(
		"a CRLF message that is one byte longer when decoded is read, aborted and refused: %s",
		async (_, message) => {
			for (const lines of ["lf", "as-sent"] as const) {
				const bench = new Bench({ limits, queue: { lines } });
				expect(await bench.exchange(mail({ message }) + mail())).toEqual([TOO_LARGE, "Kok"]);
				const [refused] = bench.queue.deliveries;
				expect(refused?.aborts).toHaveLength(1);
				expect(refused?.text.length).toBeLessThan(message.length);
			}
		},
	);

	test("a message over it is dropped while it is read, piece by piece", async () => {
		const bench = new Bench({ limits });
		const client = bench.talk();
		client.send("100001:\r");
		for (let piece = 0; piece < 100; piece++) client.send("x".repeat(1000));
		client.end(`,${mail().slice(mail().indexOf(",") + 1)}${mail()}`);
		expect(await client.all()).toEqual([TOO_LARGE, "Kok"]);
		expect(bench.queue.count("write")).toBe(1);
	});

	test("a length that nobody may declare ends the connection, behind the answers", async () => {
		const bench = new Bench({ limits });
		const client = bench.talk();
		client.send(`${mail()}2000000010:\nx`);
		expect(await client.all()).toEqual(["Kok"]);
		const { error } = await bench.disconnected();
		expect(error).toBeInstanceOf(ProtocolError);
		expect(error).toMatchObject({ code: "ERR_NETSTRING_TOO_LONG" });
	});

	test("the field that the server adds does not count", async () => {
		const bench = new Bench({ limits, received: true });
		expect(await bench.exchange(mail({ message: "\n1234567890" }))).toEqual(["Kok"]);
	});
});

describe("limits.addressBytes", () => {
	const long = (length: number) => "x".repeat(length);

	test("an address of 999 bytes is taken by default", async () => {
		const bench = new Bench();
		expect(await bench.exchange(mail({ sender: long(999), recipients: [long(999)] }))).toEqual(["Kok"]);
		expect(bench.queue.commits[0]?.envelope).toEqual({ sender: long(999), recipients: [long(999)] });
	});

	test("a recipient of 1,000 bytes is refused by itself, and its hook is not asked", async () => {
		const asked: string[] = [];
		const bench = new Bench({ hooks: { recipient: (address) => void asked.push(address) } });
		const recipients = ["a", long(1000), "b", long(5000)];
		expect(await bench.exchange(mail({ recipients }))).toEqual(["Kok", BAD_RECIPIENT, "Kok", BAD_RECIPIENT]);
		expect(asked).toEqual(["a", "b"]);
		expect(bench.reports[0]?.recipients).toEqual(["a", null, "b", null]);
	});

	test("a sender of 1,000 bytes refuses the package, and its hook is not asked", async () => {
		const asked: string[] = [];
		const bench = new Bench({ hooks: { sender: (address) => void asked.push(address) } });
		expect(await bench.exchange(mail({ sender: long(1000) }) + mail())).toEqual([BAD_SENDER, "Kok"]);
		expect(asked).toHaveLength(1);
		expect(bench.reports.map(({ sender }) => sender)).toContain(null);
	});

	test("the suffix of a relay counts", async () => {
		const authorize = () => ({ relay: true, suffix: "@x" });
		const bench = new Bench({ hooks: { authorize } });
		const responses = await bench.exchange(mail({ recipients: [long(997), long(998)] }));
		expect(responses).toEqual(["Kok", BAD_RECIPIENT]);
	});

	test("a suffix counts with the bytes that it has in the encoding of addresses", async () => {
		const authorize = () => ({ relay: true, suffix: "é" });
		const recipients = [long(997), long(998)];
		const utf8 = new Bench({ hooks: { authorize } });
		expect(await utf8.exchange(mail({ recipients }))).toEqual(["Kok", BAD_RECIPIENT]);
		const latin1 = new Bench({ hooks: { authorize }, addressEncoding: "latin1" });
		expect(await latin1.exchange(mail({ recipients }))).toEqual(["Kok", "Kok"]);
	});
});

describe("limits.recipients", () => {
	test("each recipient beyond it gets Z, and is not asked for", async () => {
		const asked: string[] = [];
		const bench = new Bench({
			limits: { recipients: 2 },
			hooks: { recipient: (address) => void asked.push(address) },
		});
		const recipients = ["a", "b", "c", "\0", "e"];
		expect(await bench.exchange(mail({ recipients }))).toEqual(["Kok", "Kok", TOO_MANY, TOO_MANY, TOO_MANY]);
		expect(asked).toEqual(["a", "b"]);
		expect(bench.queue.commits[0]?.envelope?.recipients).toEqual(["a", "b"]);
	});

	test("10,000 are taken by default", async () => {
		const bench = new Bench();
		const responses = await bench.exchange(mail({ recipients: Array(10_002).fill("r") }));
		expect(responses.filter((response) => response === "Kok")).toHaveLength(10_000);
		expect(responses.slice(10_000)).toEqual([TOO_MANY, TOO_MANY]);
	});

	test("a package may have none: it has no responses, and stores nothing", async () => {
		const bench = new Bench();
		expect(await bench.exchange(mail({ recipients: [] }) + mail())).toEqual(["Kok"]);
		expect(bench.queue.deliveries.map(({ aborts }) => aborts.length)).toEqual([1, 0]);
		expect(bench.reports.map(({ responses }) => responses.length).sort()).toEqual([0, 1]);
	});
});

describe("limits.recipientBytes", () => {
	test("a list over it ends the connection at its length, behind the answers, and the message is aborted", async () => {
		const list = (bytes: number) => mail({ recipients: ["x".repeat(bytes - 4)] });
		const bench = new Bench({ limits: { recipientBytes: 50 } });
		const client = bench.talk();
		client.send(list(50));
		await client.receives(1);
		client.send(list(51) + mail());
		expect(await client.all()).toEqual(["Kok"]);
		const { error } = await bench.disconnected();
		expect(error).toMatchObject({ name: "ProtocolError", code: "ERR_NETSTRING_TOO_LONG" });
		expect(bench.queue.deliveries.map(({ aborts }) => aborts)).toEqual([[], [error]]);
	});
});

describe("limits.connections", () => {
	test("the 62nd connection is closed, and one more is taken when one has ended", async () => {
		const bench = new Bench();
		const clients = await Promise.all(Array.from({ length: 61 }, () => bench.connect()));
		await bench.changes.until(() => bench.server.connections === 61);
		const refused = await bench.connect();
		refused.send(mail());
		await refused.gone();
		expect(refused.responses).toEqual([]);
		expect(bench.disconnects).toEqual([]);
		clients[0]?.end(mail());
		expect(await clients[0]?.all()).toEqual(["Kok"]);
		await bench.disconnected();
		await turns(1);
		const next = await bench.connect();
		next.send(mail({ recipients: [RECIPIENT, RECIPIENT] }));
		expect(await next.receives(2)).toEqual(["Kok", "Kok"]);
	}, 20_000);

	test("sessions over the caller's own streams do not count", async () => {
		const bench = new Bench({ limits: { connections: 1 } });
		const served = [bench.talk(), bench.talk(), bench.talk()];
		const client = await bench.connect();
		client.end(mail());
		expect(await client.all()).toEqual(["Kok"]);
		for (const other of served) {
			other.end(mail());
			expect(await other.all()).toEqual(["Kok"]);
		}
	});
});

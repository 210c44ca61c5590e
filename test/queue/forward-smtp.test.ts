/** The queue that forwards to a next hop that speaks SMTP. */
import { expect, test } from "vitest";
import { QmtpClient } from "../../src/client/client.js";
import { QueueError } from "../../src/errors.js";
import { type ForwardQueue, type ForwardQueueOptions, forwardQueue } from "../../src/queue/forward.js";
import { bytesOf } from "../support/bytes.js";
import { forwardTo, openSpools, startFront } from "../support/forward-hop.js";
import { inHexadecimal, SmtpHop } from "../support/forward-smtp.js";
import { cut, deliver, queueContract, statuses } from "../support/queue-contract.js";
import { messageInfo } from "../support/queue-message-info.js";
import { type SmtpScript, SmtpTestServer } from "../support/smtp-peer.js";

queueContract(
	"forwardQueue to an SMTP server",
	async () => {
		const hop = await SmtpHop.start();
		return {
			queue: inHexadecimal(forwardQueue({ url: `smtp://127.0.0.1:${hop.port}` })),
			stored: async () => hop.stored,
			leftOvers: async () => openSpools(),
			dispose: () => hop.stop(),
		};
	},
	{ keeps: true, ids: "own" },
);

const ENVELOPE = { sender: "me@example.org", recipients: ["a@example.com", "b@example.com"] };
const BODY = [bytesOf("Subject: x\n\nhello\n")];

async function forwarding(
	script: SmtpScript = {},
	options: ForwardQueueOptions = {},
): Promise<[ForwardQueue, SmtpTestServer]> {
	const server = await SmtpTestServer.start(script);
	return [forwardTo(server.port, { protocol: "smtp", name: "front.test", ...options }), server];
}

test("each recipient gets the server's own reply", async () => {
	const [queue, server] = await forwarding({
		RCPT: (_, line) => (line.includes("<b@") ? "550 5.1.1 no b here" : "250 ok"),
	});
	expect(await deliver(queue, BODY, ENVELOPE)).toEqual([
		{ status: "K", description: "250 2.0.0 queued" },
		{ status: "D", description: "550 5.1.1 no b here" },
	]);
	expect(server.messages.map(({ data }) => data)).toEqual(["Subject: x\r\n\r\nhello\r\n"]);
	expect(server.peers[0]?.commands[0]).toBe("EHLO front.test");
});

test.each(["lf", "crlf"] as const)(
	"a body in %s arrives in lines, under the server's own field",
	async (encoding) => {
		const [queue, server] = await forwarding();
		expect(queue.lines).toBe("as-sent");
		const front = await startFront(queue, { received: true, hostname: "front" });
		const client = new QmtpClient({ port: front.port });
		const end = encoding === "lf" ? "\n" : "\r\n";
		const line = `.${"x".repeat(70)}${end}`;
		for (const size of [1, 10_000]) {
			const message = `Subject: x${end}${end}${line.repeat(size)}`;
			const sent = await client.send({ ...ENVELOPE, message, encoding, transmit: "as-is" });
			expect(sent.accepted).toEqual(ENVELOPE.recipients);
			const data = server.messages.at(-1)?.data ?? "";
			const field = /^Received: from unknown \(127\.0\.0\.1\)\r\n {2}by front with QMTP; [^\r\n]+\r\n/.exec(
				data,
			)?.[0];
			const arrived = data.slice(field?.length ?? Number.NaN);
			expect(arrived === message.replaceAll(end, "\r\n"), "line for line").toBe(true);
		}
		await client.close();
		expect(openSpools()).toEqual([]);
	},
);

test("addresses are UTF-8, whatever made strings of them", async () => {
	const [queue, server] = await forwarding({ EHLO: "250-test\r\n250-8BITMIME\r\n250 SMTPUTF8" });
	const info = messageInfo({ addressEncoding: "latin1" });
	const envelope = { sender: "", recipients: ["\xc3\xbc@example.com", "\xff@example.com"] };
	expect(statuses(await deliver(queue, BODY, envelope, info))).toBe("KD");
	expect(statuses(await deliver(queue, BODY, { sender: "", recipients: ["ü@example.com", "\ud800"] }))).toBe(
		"KD",
	);
	expect(server.messages.map(({ rcpt }) => rcpt)).toEqual([
		[expect.stringContaining("<\xc3\xbc@example.com>")],
		[expect.stringContaining("<\xc3\xbc@example.com>")],
	]);
});

test("messages one after the other share a connection, and many at once have no more than the limit", async () => {
	const [queue, server] = await forwarding({}, { limits: { connections: 3 } });
	for (let count = 0; count < 5; count++) await deliver(queue, BODY, ENVELOPE);
	expect(server.peers).toHaveLength(1);
	await Promise.all(Array.from({ length: 30 }, () => deliver(queue, BODY, ENVELOPE)));
	expect(server.messages).toHaveLength(35);
	expect(server.peers).toHaveLength(3);
	await queue.close();
	for (const peer of server.peers) expect(peer.commands.at(-1)).toBe("QUIT");
});

test("without a connection the commit rejects, and says nothing of hosts", async () => {
	const [queue, server] = await forwarding();
	await server.stop();
	const failing = deliver(queue, BODY, ENVELOPE);
	await expect(failing).rejects.toThrow(QueueError);
	await expect(failing).rejects.toMatchObject({
		message: "no connection to the next hop (#4.4.1)",
		cause: { code: "ERR_QMTP_CONNECT" },
	});
});

test("a server that does not begin a session is a Z that is an error", async () => {
	const [queue] = await forwarding({ greeting: "554 test.example does not want you" });
	await expect(deliver(queue, BODY, ENVELOPE)).rejects.toMatchObject({
		message: expect.stringMatching(/^(no|the) connection to the next hop .*\(#4\.4\.[12]\)$/),
		permanent: false,
	});
});

test("a server that leaves behind the message is a Z, since it may have stored it", async () => {
	const [queue] = await forwarding({
		message: ({ socket }) => {
			socket.destroy();
			return null;
		},
	});
	const response = {
		status: "Z",
		description: "the connection to the next hop ended before its answer (#4.4.2)",
	};
	expect(await deliver(queue, BODY, ENVELOPE)).toEqual([response, response]);
});

test("a server that does not answer is a Z in time", async () => {
	const [queue] = await forwarding({ message: null }, { timeouts: { response: 50 } });
	const response = { status: "Z", description: "the next hop did not answer in time (#4.4.2)" };
	expect(await deliver(queue, BODY, ENVELOPE)).toEqual([response, response]);
});

test("a large message is in a file until it is sent", async () => {
	const [queue, server] = await forwarding();
	const line = `${"x".repeat(99)}\n`;
	const body = bytesOf(line.repeat(20_000));
	const delivery = await queue.open(messageInfo({ length: body.length }));
	for (const chunk of cut(body, 65_536)) await delivery.write(chunk);
	if (process.platform === "linux") expect(openSpools()).toHaveLength(1);
	expect(server.peers).toEqual([]);
	expect(statuses(await delivery.commit(ENVELOPE))).toBe("KK");
	expect(server.messages[0]?.data).toHaveLength(101 * 20_000);
	expect(openSpools()).toEqual([]);
});

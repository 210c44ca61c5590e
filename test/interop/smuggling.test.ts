/**
 * Mail that would be two mails: what ends a message in SMTP, hidden in a body. In QMTP nothing in a body can end it; and
 * when it goes on by SMTP, no server, however it reads line ends, may see an end in it.
 */
import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { describe, expect, onTestFinished, test } from "vitest";
import { QmtpClient } from "../../src/client/client.js";
import { forwardQueue } from "../../src/queue/forward.js";
import { memoryQueue } from "../../src/queue/memory.js";
import { acceptAnyone } from "../../src/server/hooks.js";
import { QmtpServer } from "../../src/server/server.js";

const ENDS = [
	"\r\n.\r\n",
	"\n.\n",
	"\n.\r\n",
	"\r\n.\n",
	"\r.\r",
	"\r.\r\n",
	"\r\n.\r",
	"\n.\r",
	"\r\r\n.\r\r\n",
	"\0\n.\n",
];
const SECOND = "MAIL FROM:<evil@example.org>\r\nRCPT TO:<you@example.com>\r\nDATA\r\nSubject: two\r\n\r\nx";
const BODIES = ENDS.map((end) => `Subject: one\r\n\r\nhello${end}${SECOND}${end}QUIT\r\n`);

describe.each(["lf", "crlf"] as const)("as %s", (encoding) => {
	test("a body with any end of data in it is one message in a queue, byte for byte", async () => {
		const queue = memoryQueue();
		const { port } = await listening(new QmtpServer({ queue, hooks: ANYONE, received: false }));
		await sendAll(port, encoding);
		expect(queue.messages).toHaveLength(BODIES.length);
		const decoded = BODIES.map((body) => (encoding === "crlf" ? body.replaceAll("\r\n", "\n") : body));
		expect(queue.messages.map(({ body }) => Buffer.from(body).toString("latin1")).sort()).toEqual(
			decoded.sort(),
		);
	});

	test("on its way out by SMTP it has no bare CR or LF, and no line that is a dot", async () => {
		const data: string[] = [];
		const hop = createServer((socket) => smtpServer(socket, data)).listen(0, "127.0.0.1");
		await once(hop, "listening");
		onTestFinished(() => void hop.close());
		const { port: smtpPort } = hop.address() as AddressInfo;
		const queue = forwardQueue({ url: `smtp://127.0.0.1:${smtpPort}` });
		onTestFinished(() => queue.close());
		const { port } = await listening(new QmtpServer({ queue, hooks: ANYONE, received: false }));
		await sendAll(port, encoding);
		expect(data).toHaveLength(BODIES.length);
		for (const wire of data) {
			expect(wire.replaceAll("\r\n", "")).not.toMatch(/[\r\n]/);
			expect(wire.split("\r\n").filter((line) => line.startsWith(".") && !line.startsWith(".."))).toEqual([]);
			expect(wire).toContain("MAIL FROM:<evil@example.org>");
		}
	});
});

const ANYONE = { recipient: acceptAnyone };

async function listening(server: QmtpServer): Promise<AddressInfo> {
	onTestFinished(() => server.close());
	return await server.listen({ host: "127.0.0.1", port: 0 });
}

async function sendAll(port: number, encoding: "lf" | "crlf"): Promise<void> {
	const client = new QmtpClient({ port });
	const results = await Promise.all(
		BODIES.map((body) => {
			const message = Buffer.from(body, "latin1");
			const mail = { sender: "me@example.org", recipients: ["you@example.com"], message, encoding };
			return client.send({ ...mail, transmit: "as-is" });
		}),
	);
	await client.close();
	expect(results.map(({ responses }) => responses[0]?.status).join("")).toBe("K".repeat(BODIES.length));
}

/** An SMTP server that keeps what stands between DATA and the end of it, dots included. */
function smtpServer(socket: Socket, data: string[]): void {
	let unread = "";
	let inData = false;
	socket.on("error", () => {});
	socket.write("220 hop.example.com ESMTP\r\n");
	socket.setEncoding("latin1").on("data", (text: string) => {
		unread += text;
		for (;;) {
			const end = inData ? "\r\n.\r\n" : "\r\n";
			const at = unread.indexOf(end);
			if (at === -1) return;
			const said = unread.slice(0, at);
			unread = unread.slice(at + end.length);
			if (inData) data.push(said);
			const begins = !inData && said.toUpperCase() === "DATA";
			inData = begins;
			socket.write(begins ? "354 go\r\n" : "250 ok\r\n");
			if (said.toUpperCase() === "QUIT") socket.end();
		}
	});
}

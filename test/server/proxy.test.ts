/** A server behind a proxy: whom it believes, and what its hooks see. */
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { expect, onTestFinished, test } from "vitest";
import type { Peer } from "../../src/protocol/peer.js";
import { memoryQueue } from "../../src/queue/memory.js";
import { acceptAnyone } from "../../src/server/hooks.js";
import type { ServerOptions } from "../../src/server/options.js";
import type { DisconnectReport } from "../../src/server/reports.js";
import { QmtpServer } from "../../src/server/server.js";
import { netstring } from "../support/bytes.js";
import { certificates, tlsSocket } from "../support/tls-bench.js";
import { describeWithOpenssl } from "../support/tls-certificates.js";

const HEADER = "PROXY TCP4 192.0.2.7 192.0.2.9 4711 209\r\n";
const MAIL = `${netstring("\nx")}${netstring("s@x")}${netstring(netstring("r@example.com"))}`;

test("a client behind a trusted proxy is who the proxy says, for hooks, Received fields and reports", async () => {
	const { peers, queue, send, ended } = await proxied({ proxyProtocol: ["127.0.0.0/8"] });
	expect(await send(`${HEADER}${MAIL}`)).toMatch(/^\d+:Kok /);
	const client = { remoteAddress: "192.0.2.7", remotePort: 4711, localAddress: "192.0.2.9", localPort: 209 };
	expect(peers).toMatchObject([{ ...client, proxy: { address: "127.0.0.1", command: "proxy", told: true } }]);
	expect(Buffer.from(queue.messages[0]?.body ?? []).toString()).toMatch(
		/^Received: from unknown \(192\.0\.2\.7\)\n/,
	);
	expect(await ended()).toMatchObject({ peer: client, packages: 1 });
});

test("what comes right behind the header, or much later, is not lost", async () => {
	const { send } = await proxied({ proxyProtocol: true });
	for (const cut of [1, HEADER.length - 1, HEADER.length, HEADER.length + 3]) {
		const all = HEADER + MAIL + MAIL;
		expect(await send(all.slice(0, cut), all.slice(cut))).toMatch(/^\d+:Kok [^,]*,\d+:Kok [^,]*,$/);
	}
});

test("a proxy that sends no header, and a stranger who sends one, break the protocol and deliver nothing", async () => {
	const trusting = await proxied({ proxyProtocol: ["127.0.0.1"] });
	expect(await trusting.send(MAIL)).toBe("");
	expect((await trusting.ended()).error).toMatchObject({ code: "ERR_QMTP_PROXY_HEADER" });
	for (const proxyProtocol of [false, ["192.0.2.1"]]) {
		const other = await proxied({ proxyProtocol });
		expect(await other.send(`${HEADER}${MAIL}`)).toBe("");
		expect((await other.ended()).error).toMatchObject({
			code: "ERR_NETSTRING_LENGTH_DIGIT",
		});
		expect(other.queue.messages).toEqual([]);
	}
	expect(trusting.queue.messages).toEqual([]);
});

test("a header that does not come ends the connection in time, counts as one, and does not hold up close()", async () => {
	const { server, port, ended } = await proxied({ proxyProtocol: true, timeouts: { idle: 100 } });
	const socket = connect(port, "127.0.0.1");
	socket.on("error", () => {});
	socket.write("PROXY");
	expect((await ended()).error).toMatchObject({ code: "ERR_QMTP_IDLE_TIMEOUT" });
	const other = await proxied({ proxyProtocol: true });
	const waiting = connect(other.port, "127.0.0.1");
	waiting.on("error", () => {});
	await once(waiting, "connect");
	while (other.server.connections === 0) await new Promise((resolve) => setImmediate(resolve));
	await other.server.close();
	expect(other.server.connections).toBe(0);
	await server.close();
});

test.each([["yes"], [["192.0.2.0/33"]], [[""]]])("the option proxyProtocol cannot be %j", (proxyProtocol) => {
	const options = { queue: memoryQueue(), proxyProtocol } as unknown as ServerOptions;
	expect(() => new QmtpServer(options)).toThrow(expect.objectContaining({ code: "ERR_QMTP_OPTION" }));
});

describeWithOpenssl("a server with TLS behind a proxy", () => {
	test("reads the header before the handshake", async () => {
		const made = await certificates();
		const { port, peers } = await proxied({ proxyProtocol: true, tls: made.server });
		const raw = connect(port, "127.0.0.1");
		raw.write(HEADER);
		const socket = tlsSocket({ socket: raw, ca: made.ca.cert, servername: "mx.test" });
		expect(await talk(socket, MAIL)).toMatch(/^\d+:Kok /);
		expect(peers).toMatchObject([{ remoteAddress: "192.0.2.7", tls: { servername: "mx.test" } }]);
	});
});

/** A server, and what it tells. */
async function proxied(options: Partial<ServerOptions>) {
	const queue = memoryQueue();
	const peers: Peer[] = [];
	const authorize = (peer: Peer) => {
		peers.push(peer);
		return true;
	};
	const server = new QmtpServer({ queue, hooks: { authorize, recipient: acceptAnyone }, ...options });
	onTestFinished(() => server.destroy());
	const reports: DisconnectReport[] = [];
	let told = () => {};
	server.on("disconnect", (report) => {
		reports.push(report);
		told();
	});
	const { port } = await server.listen({ host: "127.0.0.1", port: 0 });
	const ended = async () => {
		while (reports.length === 0) await new Promise<void>((resolve) => (told = resolve));
		return reports.shift() as DisconnectReport;
	};
	const send = (...pieces: string[]) =>
		talk(connect({ port, host: "127.0.0.1", allowHalfOpen: true }), ...pieces);
	return { server, port, queue, peers, ended, send };
}

/** Sends pieces, one when the one before is written, and half-closes. @returns What came. */
async function talk(socket: Socket, ...pieces: string[]): Promise<string> {
	let output = "";
	socket.on("error", () => {});
	socket.setEncoding("latin1").on("data", (text) => {
		output += text;
	});
	const closed = once(socket, "close");
	socket.on("end", () => socket.destroy());
	for (const piece of pieces) await new Promise((resolve) => socket.write(piece, "latin1", resolve));
	socket.end();
	await closed;
	return output;
}

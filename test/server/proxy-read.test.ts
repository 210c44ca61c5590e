import { once } from "node:events";
import { connect as connectTcp, createServer, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import { connect as connectTls, createServer as createTlsServer } from "node:tls";
import { beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { ProtocolError, TransportError } from "../../src/errors.js";
import type { Peer } from "../../src/protocol/peer.js";
import { accepted } from "../../src/protocol/response.js";
import { socketPeer } from "../../src/server/peer.js";
import { proxiedPeer } from "../../src/server/proxy/peer.js";
import { readProxyHeader } from "../../src/server/proxy/read.js";
import type { ProxyHeader } from "../../src/server/proxy-header.js";
import { QmtpServer } from "../../src/server/server.js";
import { openTransport } from "../../src/server/transport.js";
import { bytesOf, concat, textOf } from "../support/bytes.js";
import { binaryHeader, HAPROXY } from "../support/proxy-headers.js";
import { mail } from "../support/server-client.js";
import { TestQueue } from "../support/server-queue.js";
import { duplexPair } from "../support/server-streams.js";
import { certificate, type TestCertificate } from "../support/smtp-tls.js";

const LINE = bytesOf("PROXY TCP4 192.0.2.1 198.51.100.7 56324 209\r\n");
const PATIENT = { timeout: 60_000 };

describe("a header on a socket", () => {
	test.each<[string, Uint8Array]>([
		["line", LINE],
		["binary header", HAPROXY.certificate],
	])("a %s and what follows it may come in one chunk", async (_, header) => {
		const [client, server] = await sockets();
		client.end(concat([header, bytesOf("5:hello,")]));
		expect((await readProxyHeader(server, PATIENT)).source).not.toBeNull();
		expect(await readAll(server)).toBe("5:hello,");
	});

	test("it may come byte by byte", async () => {
		const [client, server] = await sockets();
		client.setNoDelay(true);
		const reading = readProxyHeader(server, PATIENT);
		for (const byte of concat([HAPROXY.binary4, bytesOf("5:hello,")])) {
			client.write(Uint8Array.of(byte));
			await new Promise(setImmediate);
		}
		client.end();
		expect(await reading).toMatchObject({ source: { address: "127.0.0.1", port: 43602 } });
		expect(await readAll(server)).toBe("5:hello,");
	});

	test("it may be cut anywhere, and comes off whole", async () => {
		const stream = concat([LINE, bytesOf("5:hello,")]);
		for (let point = 0; point <= stream.length; point++) {
			const [client, server] = duplexPair();
			const reading = readProxyHeader(server, PATIENT);
			client.write(stream.subarray(0, point));
			await new Promise(setImmediate);
			client.end(stream.subarray(point));
			expect(await reading).toMatchObject({ source: { address: "192.0.2.1" } });
			expect(await readAll(server)).toBe("5:hello,");
		}
	});

	test("megabytes behind it are neither lost nor held", async () => {
		const [client, server] = await sockets();
		const data = Buffer.alloc(4 * 1024 * 1024, "0123456789abcdef");
		client.end(concat([LINE, data]));
		await readProxyHeader(server, PATIENT);
		await new Promise((resolve) => setTimeout(resolve, 50));
		expect(server.readableLength).toBeLessThan(1024 * 1024);
		expect((await readAll(server)) === data.toString()).toBe(true);
	});

	test("the socket is left paused, without listeners, and opens for a session later", async () => {
		const [client, server] = await sockets();
		const before = listeners(server);
		client.write(LINE);
		await readProxyHeader(server, PATIENT);
		expect(listeners(server)).toEqual(before);
		expect(server.isPaused()).toBe(true);
		client.end("5:hello,");
		await new Promise((resolve) => setTimeout(resolve, 20));
		expect(await readAll(server)).toBe("5:hello,");
	});

	test("the client may have closed its side behind the header", async () => {
		const [client, server] = await sockets();
		client.end(LINE);
		await readProxyHeader(server, PATIENT);
		await new Promise((resolve) => setTimeout(resolve, 20));
		const transport = openTransport(server);
		expect(await transport.read()).toBeNull();
		transport.write(bytesOf("K"));
		void transport.end();
		expect(await answer(client)).toBe("K");
	});

	test("a session may follow: its hooks see the client, and what the proxy tells of it", async () => {
		const queue = new TestQueue();
		const peers: Peer[] = [];
		const hooks = { authorize: (peer: Peer) => peers.push(peer) > 0, recipient: () => accepted() };
		const qmtp = new QmtpServer({ queue, hooks });
		const [client, socket] = await sockets();
		client.end(concat([HAPROXY.certificate, bytesOf(mail())]));
		const header = await readProxyHeader(socket, PATIENT);
		await Promise.all([
			qmtp.serve(socket, proxiedPeer(socketPeer(socket), header)),
			once(client.resume(), "close"),
		]);
		expect(queue.commits).toHaveLength(1);
		expect(peers).toMatchObject([
			{
				...{ remoteAddress: "127.0.0.1", remotePort: 33866, localPort: 18003 },
				proxy: {
					address: "127.0.0.1",
					told: true,
					tls: { verified: true, commonName: "client.example.net" },
				},
			},
		]);
		await qmtp.close();
	});

	test("the handshake of TLS may follow", async () => {
		for (const together of [true, false]) {
			const [client, server] = await sockets();
			const tlsServer = createTlsServer(secrets);
			const secure = once(tlsServer, "secureConnection") as Promise<[Duplex]>;
			if (together) client.cork(); // the header and the client's hello in one chunk
			client.write(HAPROXY.tcp4);
			const secured = connectTls({ socket: client, rejectUnauthorized: false });
			if (together) setImmediate(() => client.uncork());
			secured.on("error", () => {});
			const header = await readProxyHeader(server, PATIENT);
			tlsServer.emit("connection", server);
			const [inside] = await secure;
			expect(header.source).toEqual({ address: "127.0.0.1", port: 56098 });
			secured.end("5:hello,");
			expect(await readAll(inside)).toBe("5:hello,");
			inside.end("K");
			expect(await answer(secured)).toBe("K");
		}
	});

	test("the client's hello of TLS may be behind the header in the same chunk", async () => {
		const [outer, proxied] = await sockets();
		const [client, front] = duplexPair();
		const secured = connectTls({ socket: client, rejectUnauthorized: false });
		const hello = (await once(front, "data"))[0] as Buffer;
		outer.write(concat([HAPROXY.tcp4, hello]));
		const tlsServer = createTlsServer(secrets);
		const secure = once(tlsServer, "secureConnection") as Promise<[Duplex]>;
		await readProxyHeader(proxied, PATIENT);
		tlsServer.emit("connection", proxied);
		front.pipe(outer).pipe(front);
		const [inside] = await secure;
		secured.write("5:hello,");
		expect(textOf((await once(inside, "data"))[0])).toBe("5:hello,");
		inside.destroy();
		secured.destroy();
	});
});

describe("a header that does not come", () => {
	test("is waited for no longer than the timeout, however busy the client is", async () => {
		const [client, server] = await sockets();
		const drip = setInterval(() => client.write("x"), 5);
		client.write("PROXY UNKNOWN ");
		const error = await failure(server, { timeout: 100 });
		clearInterval(drip);
		expect(error).toBeInstanceOf(TransportError);
		expect(error).toMatchObject({ code: "ERR_QMTP_IDLE_TIMEOUT" });
		expect(server.destroyed).toBe(true);
	});

	test("is waited for without end if that was asked for", async () => {
		const [client, server] = await sockets();
		const reading = readProxyHeader(server, { timeout: Number.POSITIVE_INFINITY });
		await new Promise((resolve) => setTimeout(resolve, 50));
		client.write(LINE);
		expect((await reading).source).toEqual({ address: "192.0.2.1", port: 56324 });
	});

	test.each<[string, Uint8Array]>([
		["a client's own words", bytesOf("5:hello,")],
		["a header that is too long", binaryHeader({ length: 65535 })],
		["a line that is too long", bytesOf(`PROXY UNKNOWN ${"x".repeat(2000)}`)],
	])("%s end the connection", async (_, bytes) => {
		const [client, server] = await sockets();
		client.write(bytes);
		const error = await failure(server, PATIENT);
		expect(error).toBeInstanceOf(ProtocolError);
		expect(error).toMatchObject({ code: "ERR_QMTP_PROXY_HEADER" });
		expect(server.destroyed).toBe(true);
		await once(client.resume(), "close");
	});

	test.each<[string, (client: Socket) => void]>([
		["closes its side", (client) => client.end()],
		["closes its side inside the header", (client) => client.end(LINE.subarray(0, 20))],
		["leaves", (client) => client.destroy()],
	])("a client that %s is told of", async (_, leave) => {
		const [client, server] = await sockets();
		const failed = failure(server, PATIENT);
		leave(client);
		expect(await failed).toMatchObject({ code: "ERR_QMTP_CONNECTION_CLOSED" });
		expect(server.destroyed).toBe(true);
	});

	test("a connection that breaks is told of, with the system's error", async () => {
		const [client, server] = await sockets();
		const failed = failure(server, PATIENT);
		client.resetAndDestroy();
		const error = await failed;
		expect(error).toMatchObject({ code: "ERR_QMTP_CONNECTION_LOST", cause: { code: "ECONNRESET" } });
	});

	test("a socket that is destroyed, before or meanwhile, has none", async () => {
		const [, server] = await sockets();
		const failed = failure(server, PATIENT);
		server.destroy();
		expect(await failed).toMatchObject({ code: "ERR_QMTP_CONNECTION_CLOSED" });
		expect(await failure(server, PATIENT)).toMatchObject({ code: "ERR_QMTP_CONNECTION_CLOSED" });
	});
});

let secrets: TestCertificate;
beforeAll(async () => {
	secrets = await certificate("mx.example");
});

/** Both ends of a connection. */
async function sockets(): Promise<[Socket, Socket]> {
	const listener = createServer({ allowHalfOpen: true, noDelay: true, highWaterMark: 256 * 1024 });
	listener.listen(0, "127.0.0.1");
	await once(listener, "listening");
	const { port } = listener.address() as { port: number };
	const accepted = once(listener, "connection") as Promise<[Socket]>;
	const client = connectTcp({ port, host: "127.0.0.1" });
	client.on("error", () => {});
	const [server] = await accepted;
	listener.close();
	onTestFinished(() => {
		client.destroy();
		server.destroy();
	});
	return [client, server];
}

/** Reads as a session does. */
async function readAll(duplex: Duplex): Promise<string> {
	const transport = openTransport(duplex);
	const chunks: Uint8Array[] = [];
	for (let input = await transport.read(); input !== null; input = await transport.read()) {
		if (input !== undefined) chunks.push(input);
	}
	return textOf(concat(chunks));
}

/** What a client gets that has closed its own side. */
async function answer(client: Duplex): Promise<string> {
	const chunks: Uint8Array[] = [];
	for await (const chunk of client) chunks.push(chunk);
	return textOf(concat(chunks));
}

async function failure(socket: Socket, options: { timeout: number }): Promise<unknown> {
	return readProxyHeader(socket, options).then(
		(header: ProxyHeader) => expect.unreachable(`a header: ${JSON.stringify(header)}`),
		(error: unknown) => error,
	);
}

function listeners(socket: Socket): Record<string, number> {
	const names = ["readable", "data", "end", "close", "error"];
	return Object.fromEntries(names.map((name) => [name, socket.listenerCount(name)]));
}

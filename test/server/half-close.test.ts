/**
 * A client that sends, closes its direction and reads must still get its answers, on every kind of connection; and
 * answers that are written reach a client that has not read them yet when the server lets go.
 */
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { connect, createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createServer as createTlsServer, connect as tlsConnect } from "node:tls";
import { describe, expect, onTestFinished, test } from "vitest";
import { Bench } from "../support/server-bench.js";
import { mail, type TestClient } from "../support/server-client.js";
import { duplexPair } from "../support/server-streams.js";

const { CI } = process.env;
const certificate = selfSigned();

/** Each way to a client whose other end `bench` serves. */
const ways: Record<string, (bench: Bench) => Promise<TestClient>> = {
	"a socket of the server": (bench) => bench.connect(),
	"a socket that somebody else made, with allowHalfOpen": async (bench) => {
		const port = await listen(createServer({ allowHalfOpen: true }, (socket) => bench.serve(socket)));
		return bench.client(connect({ port, host: "127.0.0.1", allowHalfOpen: true }));
	},
	"a socket that somebody else made, without allowHalfOpen": async (bench) => {
		const port = await listen(createServer((socket) => bench.serve(socket)));
		return bench.client(connect({ port, host: "127.0.0.1", allowHalfOpen: true }));
	},
	"a pair in memory": async (bench) => bench.talk(),
	"a Duplex without allowHalfOpen": async (bench) => {
		const [ours, theirs] = duplexPair();
		ours.allowHalfOpen = false;
		bench.serve(ours);
		return bench.client(theirs);
	},
};
if (certificate === null) {
	test("over TLS sockets", (context) => {
		const note = "not installed here: openssl, which makes the certificate";
		if (CI === "true") throw new Error(note);
		context.skip(note);
	});
} else {
	for (const allowHalfOpen of [true, false]) {
		ways[`a TLS socket, allowHalfOpen ${allowHalfOpen}`] = async (bench) => {
			const server = createTlsServer({ ...certificate, allowHalfOpen }, (socket) => bench.serve(socket));
			const port = await listen(server);
			const options = { port, host: "127.0.0.1", rejectUnauthorized: false, allowHalfOpen: true };
			const socket = tlsConnect(options);
			await once(socket, "secureConnect");
			return bench.client(socket);
		};
	}
}

describe.each(Object.keys(ways))("over %s", (way) => {
	const open = ways[way] as (bench: Bench) => Promise<TestClient>;

	test("a client that half-closes gets the answers of slow commits", async () => {
		const bench = new Bench({ queue: { hold: true } });
		const client = await open(bench);
		client.end(mail() + mail());
		await bench.queue.called("commit", 2);
		bench.queue.release();
		expect(await client.all()).toEqual(["Kok", "Kok"]);
		expect(await bench.disconnected()).not.toHaveProperty("error");
	});

	test("so does one that half-closes at once, without a package", async () => {
		const bench = new Bench();
		const client = await open(bench);
		client.end();
		expect(await client.all()).toEqual([]);
		expect(await bench.disconnected()).not.toHaveProperty("error");
	});

	test("so does one that half-closes while authorize is asked", async () => {
		const bench = new Bench({
			hooks: { authorize: () => new Promise((resolve) => setImmediate(resolve, true)) },
		});
		const client = await open(bench);
		client.end(mail());
		expect(await client.all()).toEqual(["Kok"]);
	});

	test("so does one that half-closes inside a package", async () => {
		const bench = new Bench({ queue: { hold: true } });
		const client = await open(bench);
		client.end(mail() + mail().slice(0, -1));
		await bench.queue.called("abort");
		bench.queue.release();
		expect(await client.all()).toEqual(["Kok"]);
		expect((await bench.disconnected()).error).toMatchObject({ code: "ERR_QMTP_CONNECTION_CLOSED" });
	});

	test("large answers reach a client that begins to read when all is sent", async () => {
		const description = "x".repeat(60_000);
		const bench = new Bench({ queue: { commit: async () => [{ status: "K", description }] } });
		const client = await open(bench);
		client.duplex.pause();
		client.end(mail().repeat(40));
		await bench.queue.called("commit", 20);
		client.duplex.resume();
		expect(await client.all()).toEqual(Array(40).fill(`K${description}`));
	});

	test("protocol error: what was accepted before it is answered, and then the connection closed", async () => {
		const bench = new Bench({ queue: { hold: true } });
		const client = await open(bench);
		client.send(`${mail() + mail()}EHLO x\r\n`);
		await bench.queue.called("commit", 2);
		bench.queue.release();
		expect(await client.all()).toEqual(["Kok", "Kok"]);
		expect((await bench.disconnected()).error).toMatchObject({ code: "ERR_NETSTRING_LENGTH_DIGIT" });
	});
});

async function listen(server: Server): Promise<number> {
	const sockets = new Set<Socket>();
	server.on("connection", (socket: Socket) => sockets.add(socket));
	onTestFinished(() => {
		server.close();
		for (const socket of sockets) socket.destroy();
	});
	await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
	return (server.address() as { port: number }).port;
}

function selfSigned(): { key: Buffer; cert: Buffer } | null {
	const folder = mkdtempSync(join(tmpdir(), "qmtp-tls-"));
	try {
		const [key, cert] = [join(folder, "key.pem"), join(folder, "cert.pem")];
		const request = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
		const names = ["-keyout", key, "-out", cert, "-subj", "/CN=localhost", "-days", "2"];
		execFileSync("openssl", [...request, ...names], { stdio: "ignore" });
		return { key: readFileSync(key), cert: readFileSync(cert) };
	} catch {
		return null;
	} finally {
		rmSync(folder, { recursive: true });
	}
}

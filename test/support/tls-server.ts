/** A scripted TLS server for tests of the client: its connections do what a script tells them, right or wrong. */
import type { Socket } from "node:net";
import { createServer, type Server, type TLSSocket, type TlsOptions } from "node:tls";
import { expect, onTestFinished } from "vitest";
import { QmtpClient } from "../../src/client/client.js";
import type { ClientOptions } from "../../src/client/options.js";
import { type Script, ScriptedConnection } from "./client-server.js";

/** It is closed when the test is over, and a script that failed makes the test fail. */
export class ScriptedTlsServer {
	readonly port: number;
	/** Those whose handshake is done. */
	readonly connections: ScriptedConnection[] = [];
	readonly sockets: TLSSocket[] = [];
	readonly server: Server;

	private constructor(server: Server) {
		this.server = server;
		this.port = (server.address() as { port: number }).port;
	}

	static async start(options: TlsOptions, script: Script): Promise<ScriptedTlsServer> {
		const halfOpen: TlsOptions & { allowHalfOpen: boolean } = { ...options, allowHalfOpen: true };
		const server = createServer(halfOpen);
		await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
		const started = new ScriptedTlsServer(server);
		const failures: unknown[] = [];
		const raw = new Set<Socket>(); // with a client that left in the handshake Node's server keeps its half
		server.on("connection", (socket: Socket) => raw.add(socket));
		server.on("secureConnection", (socket) => {
			const connection = new ScriptedConnection(socket, started.connections.length);
			started.connections.push(connection);
			started.sockets.push(socket);
			Promise.resolve(connection)
				.then(script)
				.catch((error) => failures.push(error));
		});
		onTestFinished(async () => {
			const closed = new Promise((resolve) => server.close(resolve));
			for (const socket of [...started.sockets, ...raw]) socket.destroy();
			await closed;
			expect(failures, "scripts that failed").toEqual([]);
		});
		return started;
	}

	/** A client of this server, which is destroyed when the test is over. */
	client(options: ClientOptions): QmtpClient {
		return clientOf(this.port, options);
	}
}

/** A client of a server on this machine, which is destroyed when the test is over. */
export function clientOf(port: number, options: ClientOptions): QmtpClient {
	const client = new QmtpClient({ port, ...options });
	onTestFinished(async () => {
		client.destroy();
		await client.close();
	});
	return client;
}

/** Servers that speak TLS, and clients of them, for tests of the server. */
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { type ConnectionOptions, type TLSSocket, connect as tlsConnect } from "node:tls";
import type { Bench } from "./server-bench.js";
import type { TestClient } from "./server-client.js";
import {
	authority,
	describeWithOpenssl,
	type TestAuthority,
	type TestCertificate,
} from "./tls-certificates.js";

/** Certificates for one file of tests. */
export interface Certificates {
	readonly ca: TestAuthority;
	/** For 127.0.0.1 and mx.test. */
	readonly server: TestCertificate;
	/** Of the same authority, common name `client.test`, DNS names `one.client.test` and `two.client.test`. */
	readonly client: TestCertificate;
	/** Of a client that trusts the authority. */
	readonly trusting: ConnectionOptions;
}

/** Makes them. */
export async function certificates(): Promise<Certificates> {
	const ca = await authority();
	const [server, client] = await Promise.all([
		ca.issue({ name: "mx.test", names: "DNS:mx.test,IP:127.0.0.1" }),
		ca.issue({ name: "client.test", names: "DNS:one.client.test,DNS:two.client.test" }),
	]);
	return { ca, server, client, trusting: { ca: ca.cert } };
}

/** Tests that need certificates, which are there when the suite is set up. Without openssl they are skipped. */
export function describeWithCertificates(name: string, suite: (made: Certificates) => void): void {
	describeWithOpenssl(name, async () => suite(await certificates()));
}

/** A plain connection to a bench's server. */
export async function plainClient(bench: Bench): Promise<TestClient> {
	const port = await bench.port();
	const socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
	const client = bench.client(socket);
	await once(socket, "connect");
	return client;
}

/** A TLS connection that outlives the server's end of it. */
export function tlsSocket(options: ConnectionOptions): TLSSocket {
	const halfOpen: ConnectionOptions & { allowHalfOpen: boolean } = { ...options, allowHalfOpen: true };
	return tlsConnect(halfOpen);
}

/** A TLS connection to a bench's server, when its handshake is done. */
export async function tlsClient(
	bench: Bench,
	options: ConnectionOptions,
	reads = true,
): Promise<TestClient & { readonly socket: TLSSocket }> {
	const port = await bench.port();
	const socket = tlsSocket({ port, host: "127.0.0.1", ...options });
	await once(socket, "secureConnect");
	return bench.client(socket, reads) as TestClient & { readonly socket: TLSSocket };
}

/** Ends when both sides of a raw socket are gone. */
export async function closed(socket: Socket): Promise<void> {
	if (!socket.closed) await once(socket, "close");
}

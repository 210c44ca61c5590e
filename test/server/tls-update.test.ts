import type { ConnectionOptions } from "node:tls";
import { describe, expect, test } from "vitest";
import { Bench, type BenchOptions } from "../support/server-bench.js";
import { mail } from "../support/server-client.js";
import { turns } from "../support/server-signal.js";
import { describeWithCertificates, tlsClient } from "../support/tls-bench.js";
import { selfSigned } from "../support/tls-certificates.js";

describeWithCertificates("a server with TLS", (made) => {
	const { trusting } = made;
	const secureBench = (options?: BenchOptions) => new Bench({ tls: made.server, ...options });

	describe("updateSecureContext()", () => {
		async function certificateOf(bench: Bench, options: ConnectionOptions): Promise<string> {
			const client = await tlsClient(bench, options);
			const { fingerprint256 } = client.socket.getPeerCertificate();
			client.end();
			await client.all();
			return fingerprint256;
		}

		test("gives new connections new certificates, and the old ones go on", async () => {
			const bench = secureBench();
			const old = await tlsClient(bench, trusting);
			old.send(mail());
			await old.receives(1);
			const before = old.socket.getPeerCertificate().fingerprint256;
			bench.server.updateSecureContext(await made.ca.issue({ name: "mx.test", names: "IP:127.0.0.1" }));
			expect(await certificateOf(bench, trusting)).not.toBe(before);
			old.end(mail());
			expect(await old.all()).toEqual(["Kok", "Kok"]);
		});

		test("under load, no message is lost", async () => {
			const bench = secureBench({ limits: { connections: 200 } });
			const newer = await made.ca.issue({ name: "mx.test", names: "IP:127.0.0.1" });
			const seen = new Set<string>();
			let sending = true;
			const sender = async () => {
				let answers = 0;
				let sent = 0;
				while (sending || sent === 0) {
					const client = await tlsClient(bench, trusting);
					seen.add(client.socket.getPeerCertificate().fingerprint256);
					client.end(mail().repeat(5));
					answers += (await client.all()).filter((answer) => answer === "Kok").length;
					sent += 5;
				}
				expect(answers).toBe(sent);
				return sent;
			};
			const senders = Array.from({ length: 10 }, sender);
			for (let rotation = 0; rotation < 10; rotation++) {
				await turns(20);
				await bench.disconnected(bench.disconnects.length + 1);
				bench.server.updateSecureContext(rotation % 2 === 0 ? newer : made.server);
			}
			sending = false;
			const sent = (await Promise.all(senders)).reduce((sum, count) => sum + count, 0);
			expect(bench.queue.commits).toHaveLength(sent);
			expect(seen.size).toBe(2);
			expect(bench.disconnects.every(({ error }) => error === undefined)).toBe(true);
		});

		test("what is left out stays, such as the lowest version", async () => {
			const bench = new Bench({ tls: { ...made.server, minVersion: "TLSv1.3" } });
			bench.server.updateSecureContext(await made.ca.issue({ name: "x", names: "IP:127.0.0.1" }));
			await expect(tlsClient(bench, { ...trusting, maxVersion: "TLSv1.2" })).rejects.toThrow(/protocol/);
			await tlsClient(bench, trusting);
		});

		test("what cannot be used is refused, and changes nothing", async () => {
			const bench = secureBench();
			const before = await certificateOf(bench, trusting);
			const { key } = await selfSigned("x");
			for (const bad of [{ cert: "rubbish" }, { key: "rubbish" }, { key }]) {
				expect(() => bench.server.updateSecureContext(bad)).toThrow(
					expect.objectContaining({ name: "UsageError", code: "ERR_QMTP_OPTION" }),
				);
			}
			expect(await certificateOf(bench, trusting)).toBe(before);
		});

		test("without TLS there is nothing to update", () => {
			const { server } = new Bench();
			expect(() => server.updateSecureContext(made.server)).toThrow(
				expect.objectContaining({ name: "UsageError", code: "ERR_QMTP_SERVER_STATE" }),
			);
		});
	});
});

/** `amqps:`, with a broker whose certificate is of an authority that nobody knows unless told. */
import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { freePort } from "../../benchmarks/rabbitmq/host.js";
import { rabbitmqQueue } from "../../src/queue/rabbitmq.js";
import { bytesOf } from "../support/bytes.js";
import { deliver, statuses } from "../support/queue-contract.js";
import { type Broker, describeWithRabbitmq, startBroker } from "../support/rabbitmq.js";
import { authority, describeWithOpenssl } from "../support/tls-certificates.js";

describeWithOpenssl("amqps", () => {
	describeWithRabbitmq("a broker with TLS", () => {
		let broker: Broker;
		let folder: string;
		let ca: string;
		let url: string;
		beforeAll(async () => {
			const issuer = await authority();
			const { cert, key } = await issuer.issue({ name: "mq.example.org", names: "IP:127.0.0.1" });
			ca = issuer.cert;
			folder = await mkdtemp(join(tmpdir(), "qmtp-amqps-"));
			await chmod(folder, 0o755);
			const file = (name: string) => join(folder, name);
			await Promise.all([
				writeFile(file("ca.pem"), ca),
				writeFile(file("cert.pem"), cert),
				writeFile(file("key.pem"), key),
			]);
			const port = await freePort();
			broker = await startBroker({
				configuration: [
					`listeners.ssl.1 = 127.0.0.1:${port}`,
					`ssl_options.cacertfile = ${file("ca.pem")}`,
					`ssl_options.certfile = ${file("cert.pem")}`,
					`ssl_options.keyfile = ${file("key.pem")}`,
				],
			});
			url = `amqps://guest:guest@127.0.0.1:${port}`;
		});
		afterAll(async () => {
			await broker?.stop();
			await rm(folder, { recursive: true, force: true });
		});

		test("takes mail from who trusts it, and hands it out", async () => {
			const queue = rabbitmqQueue({ url, tls: { ca } });
			await queue.prepare();
			const envelope = { sender: "", recipients: ["a@example.com"] };
			expect(statuses(await deliver(queue, [bytesOf("x\n")], envelope))).toBe("K");
			for await (const job of queue.take({ concurrency: 1 })) {
				expect(job.envelope).toEqual(envelope);
				await job.settle([{ status: "K", description: "ok" }]);
				break;
			}
			await queue.close();
		});

		test("is not trusted by who does not know its authority, and the error says why", async () => {
			const queue = rabbitmqQueue({ url });
			await expect(queue.prepare()).rejects.toMatchObject({
				code: "ERR_QMTP_QUEUE",
				cause: expect.objectContaining({ message: expect.stringMatching(/^amqps:.*: .*certificate/) }),
			});
			await queue.close();
		});
	});
});

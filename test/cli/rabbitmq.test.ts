/** `qmtp serve --queue amqp://...`, `qmtp relay --source amqp://...` and `qmtp rabbitmq`, on a broker. */
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import amqp from "amqplib";
import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest";
import { freePort } from "../../benchmarks/rabbitmq/host.js";
import { deferred, rejected } from "../../src/protocol/response.js";
import { rabbitmqTopology } from "../../src/queue/rabbitmq.js";
import { startProcess } from "../support/processes.js";
import { MAIN, type Running, run, start } from "../support/program.js";
import { type Broker, describeWithRabbitmq, startBroker } from "../support/rabbitmq.js";
import { Wire } from "../support/rabbitmq-wire.js";
import { readBounce, startHop } from "../support/relay-mail.js";
import { authority } from "../support/tls-certificates.js";

const USER = "mailer";
const PASSWORD = "sEc:rEt/@?#%41"; // written as it is in the environment, and percent encoded in a URL

describeWithRabbitmq("the command line", () => {
	let broker: Broker;
	let place = "";
	let securePort = 0;
	let directory = "";

	beforeAll(async () => {
		directory = await mkdtemp(join(tmpdir(), "qmtp-test-"));
		const file = (name: string) => join(directory, name);
		const issuer = await authority();
		const { cert, key } = await issuer.issue({ name: "localhost", names: "DNS:localhost" });
		await writeFile(file("ca.pem"), issuer.cert);
		await writeFile(file("cert.pem"), cert);
		await writeFile(file("key.pem"), key);
		securePort = await freePort();
		broker = await startBroker({
			configuration: [
				`listeners.ssl.1 = 127.0.0.1:${securePort}`,
				`ssl_options.certfile = ${file("cert.pem")}`,
				`ssl_options.keyfile = ${file("key.pem")}`,
			],
		});
		place = `127.0.0.1:${broker.port}`;
		await broker.ctl(["add_user", USER, PASSWORD]);
		await broker.ctl(["set_permissions", USER, ".*", ".*", ".*"]);
	}, 60_000);
	afterAll(async () => {
		await broker?.stop();
		await rm(directory, { recursive: true, force: true });
	});

	const environment = { env: { QMTP_AMQP_PASSWORD: PASSWORD } };

	/** A program that is killed when the test is over. */
	function started(...args: string[]): Running {
		const running = start(args, environment);
		onTestFinished(() => void running.child.kill("SIGKILL"));
		return running;
	}

	async function serving(queue: string, ...options: string[]): Promise<Running & { port: string }> {
		const server = started("serve", "--port", "0", "--queue", queue, ...options);
		const [, port = ""] = await server.until("stdout", /^listening on 127\.0\.0\.1:(\d+)\n/);
		return Object.assign(server, { port });
	}

	/** Sends a message. @returns The number of its K. */
	async function sent(port: string, ...recipients: string[]): Promise<string> {
		const to = recipients.flatMap((recipient) => ["--recipient", recipient]);
		const args = ["send", "--port", port, "--sender", "me@example.org", ...to];
		const { stdout } = await run(args, { input: "Subject: hello\n\nhello\n" });
		expect(stdout.match(/^K\t/gm)).toHaveLength(recipients.length);
		return /qp (\d+)$/m.exec(stdout)?.[1] as string;
	}

	async function ended(running: Running): Promise<void> {
		running.child.kill("SIGTERM");
		expect(await running.exit).toBe(0);
		expect(running.stdout + running.stderr).not.toMatch(/sEc|%2F%40/);
	}

	/** How many messages each of these queues holds. */
	async function held(...queues: string[]): Promise<number[]> {
		const connection = await amqp.connect(broker.url);
		const channel = await connection.createChannel();
		const counts: number[] = [];
		for (const queue of queues) counts.push((await channel.checkQueue(queue)).messageCount);
		await connection.close();
		return counts;
	}

	test("what a server has taken a relay delivers, defers or sends back, and both end on SIGTERM", async () => {
		const hop = await startHop({
			hooks: {
				recipient: (address) => {
					if (address.startsWith("gone")) return rejected("no such user (#5.1.1)");
					return address.startsWith("later") ? deferred("come later (#4.2.1)") : undefined;
				},
				authorize: () => ({ relay: true }),
			},
		});
		const queue = `amqp://${USER}@${place}?queue=both`;
		const server = await serving(queue);
		const id = await sent(server.port, "jürgen@example.com", "later@example.com", "gone@example.com");
		await ended(server);
		expect(await held("both")).toEqual([1]);

		const relay = started("relay", "--source", queue, "--to", hop.url, "--hostname", "relay.example.org");
		await relay.until("stdout", new RegExp(`^relaying amqp://${USER}@${place}\\?queue=both to qmtp:`));
		const told = (event: string, to: string) =>
			relay.until(
				"stdout",
				new RegExp(`^${event} id=${id} from=<me@example.org> to=<${to}@example.com> `, "m"),
			);
		await told("delivered", "jürgen");
		await told("deferred", "later");
		await told("bounced", "gone");
		await relay.until("stdout", /^delivered id=\d+ from=<> to=<me@example.org> ok/m); // through the same queue
		await ended(relay);
		expect(relay.stderr).toBe("");
		// qmail's first pause is 400 s.
		expect(await held("both", "both.retry.5m", "both.parked")).toEqual([0, 1, 0]);
		const [first, bounce] = hop.queue.messages;
		expect(first).toMatchObject({ sender: "me@example.org", recipients: ["jürgen@example.com"] });
		expect(Buffer.from(first?.body ?? "").toString()).toMatch(/^Received: .*\nSubject: hello\n\nhello\n$/s);
		const { recipients } = await readBounce(bounce?.body as Uint8Array);
		expect(recipients[0]?.get("final-recipient")).toContain("gone@example.com");
	});

	test("serve --relay does both in one process", async () => {
		const hop = await startHop();
		const server = await serving(`amqp://${USER}@${place}/%2F?queue=one`, "--relay", hop.url);
		const id = await sent(server.port, "one@example.com");
		await server.until("stderr", new RegExp(`relay: delivered id=${id} from=<me@example.org> to=<one@`));
		await ended(server);
		expect(hop.queue.messages).toHaveLength(1);
		expect(await held("one")).toEqual([0]);
	});

	test("workers put into one queue", async () => {
		const url = `amqp://${USER}:${encodeURIComponent(PASSWORD)}@${place}?queue=workers`;
		const server = await serving(url, "--workers", "2");
		for (let mail = 0; mail < 4; mail++) await sent(server.port, "one@example.com");
		await ended(server);
		expect(await held("workers")).toEqual([4]);
	});

	test("while the broker is gone clients get a Z, the logs say where it was, and then both go on", async () => {
		const wire = await Wire.to(broker.port);
		onTestFinished(() => wire.close());
		const hop = await startHop();
		const queue = `amqp://${USER}@127.0.0.1:${wire.port}?queue=lost`;
		const server = await serving(queue);
		const relay = started("relay", "--source", queue, "--to", hop.url);
		await relay.until("stdout", /^relaying /m);
		await sent(server.port, "first@example.com");
		await relay.until("stdout", /^delivered .*to=<first@/m);

		wire.cut();
		const lost = `amqp://${USER}@127.0.0.1:${wire.port}/: connection lost: `;
		await relay.until("stdout", new RegExp(`^fault id=- ${lost}`, "m"));
		await server.until("stderr", new RegExp(`^fault ${lost}`, "m"));
		const again = new RegExp(
			`^fault (id=- )?amqp://${USER}@127.0.0.1:${wire.port}/: (?!connection lost)`,
			"m",
		);
		await Promise.all([server.until("stderr", again), relay.until("stdout", again)]);
		const args = ["send", "--port", server.port, "--sender", "", "--recipient", "second@example.com"];
		const refused = await run(args, { input: "x\n" });
		expect(refused.code).toBe(111);
		expect(refused.stdout).toBe("Z\tsecond@example.com\tmessage broker cannot be reached (#4.3.0)\n");

		wire.mend();
		let answer = refused;
		// Only its answers tell a client that the server is connected again.
		while (answer.code === 111) answer = await run(args, { input: "x\n" });
		expect(answer.stdout).toMatch(/^K\tsecond@example\.com\t/);
		await relay.until("stdout", /^delivered .*to=<second@/m);
		await ended(server);
		await ended(relay);
	}, 60_000);

	test("a wrong password is a login that was refused, and is not told", async () => {
		const url = `amqp://${USER}:wrong@${place}?queue=both`;
		const { code, stdout, stderr } = await run(["serve", "--port", "0", "--queue", url]);
		expect([code, stdout]).toEqual([111, ""]);
		expect(stderr).toMatch(
			new RegExp(`^qmtp serve: cannot use amqp://${USER}@${place}\\?queue=both: amqp://.*ACCESS.REFUSED`),
		);
		expect(stderr).not.toContain("wrong");
	});

	test("amqps needs a certificate that is valid for the host", async () => {
		const declare = ["rabbitmq", "declare", "--url"];
		const url = `amqps://${USER}@localhost:${securePort}?queue=secure`;
		const unknown = await run([...declare, url], environment);
		expect(unknown.code).toBe(111);
		expect(unknown.stderr).toMatch(/^qmtp rabbitmq: amqps:\/\/mailer@localhost:\d+\/: .*certificate/);
		const env = { ...environment.env, NODE_EXTRA_CA_CERTS: join(directory, "ca.pem") };
		const known = await run([...declare, url], { env });
		expect(known).toMatchObject({ code: 0, stderr: "" });
		const other = await run([...declare, url.replace("localhost", "127.0.0.1")], { env });
		expect(other.code).toBe(111);
		expect(other.stderr).toContain("does not match certificate's altnames");
	});

	test("what docs/cli.md says about serving runs, with another node where the first is not there", async () => {
		const page = await readFile(fileURLToPath(new URL("../../docs/cli.md", import.meta.url)), "utf8");
		const [, code = ""] = /^```sh\n(export QMTP_AMQP_PASSWORD\n.*?)^```$/ms.exec(page) ?? [];
		const script = code
			.replace("mq1.example.com,mq2.example.com/mail", `127.0.0.1:1,${place}`)
			.replace(/^qmtp serve/m, `exec '${process.execPath}' '${MAIN}' serve --port 0`);
		const env = { ...process.env, ...environment.env };
		const server = startProcess("sh", ["-c", script], { env });
		onTestFinished(() => server.stop());
		const [, port = ""] = await server.until(/^listening on 127\.0\.0\.1:(\d+)$/m);
		await sent(port, "you@example.com");
		expect(await held("incoming")).toEqual([1]);
	});

	test("declare says which queues there are, as often as it is called, and 100 for other arguments", async () => {
		const url = `amqp://${USER}@${place}?queue=declared`;
		const declare = ["rabbitmq", "declare", "--url", url];
		const first = await run(declare, environment);
		expect(first).toMatchObject({ code: 0, stderr: "" });
		const lines = first.stdout.trimEnd().split("\n");
		expect(lines[0]).toBe(
			'declared declared.parked x-queue-type="quorum" x-overflow="reject-publish" x-delivery-limit=2000000000',
		);
		expect(lines.map((line) => line.split(" ")[1])).toEqual(
			rabbitmqTopology({ queue: "declared" }).map(({ name }) => name),
		);
		expect(await held("declared", "declared.parked", "declared.retry.6h")).toEqual([0, 0, 0]);
		expect(await run(declare, environment)).toEqual(first);
		const other = await run([...declare, "--delivery-limit", "3"], environment);
		expect([other.code, other.stdout]).toEqual([100, ""]);
		expect(other.stderr).toMatch(
			/^qmtp rabbitmq: the queue declared exists with other arguments: .*received '3' but current is '20'; give .*\n$/,
		);
		const relay = await run(["relay", "--to", "mx", "--source", `${url}&delivery-limit=3`], environment);
		expect(relay.code).toBe(111);
		expect(relay.stderr).toContain("the queue declared exists with other arguments");
	});
});

/** The metrics of servers, read as Prometheus reads them. */
import { type OpenMetricsContentType, Registry } from "prom-client";
import { describe, expect, test } from "vitest";
import { type MetricsRegistry, registerMetrics } from "../../src/metrics/register.js";
import { QmtpServer } from "../../src/server/server.js";
import { Bench } from "../support/server-bench.js";
import { mail } from "../support/server-client.js";
import { TestQueue } from "../support/server-queue.js";

/** The samples of a registry: `name{labels}` and the number. */
async function samples(registry: MetricsRegistry): Promise<Map<string, number>> {
	const lines = (await registry.metrics()).split("\n").filter((line) => line !== "" && !line.startsWith("#"));
	return new Map(
		lines.map((line) => {
			const space = line.lastIndexOf(" ");
			return [line.slice(0, space), Number(line.slice(space + 1))];
		}),
	);
}

describe("the metrics of a server", () => {
	test("tell what it has done by then, also before they were registered", async () => {
		const bench = new Bench({
			queue: { commit: async ({ recipients }) => recipients.map(answerTo) },
			hooks: { sender: (address) => (address === "bad" ? Promise.reject(new Error("oops")) : undefined) },
		});
		await bench.exchange(mail({ recipients: ["k", "z"] }));
		const registry = new Registry();
		registerMetrics(bench.server, { registry });
		await bench.exchange(mail({ message: "\n1234", recipients: ["d"] }) + mail({ sender: "bad" }));
		await bench.exchange("x");
		const found = await samples(registry);
		expect(Object.fromEntries(found)).toMatchObject({
			qmtp_server_connections: 0,
			qmtp_server_connections_waiting: 0,
			qmtp_server_connections_accepted_total: 3,
			qmtp_server_connections_refused_total: 0,
			qmtp_server_packages_total: 3,
			qmtp_server_packages_committing: 0,
			'qmtp_server_responses_total{status="K"}': 1,
			'qmtp_server_responses_total{status="Z"}': 2,
			'qmtp_server_responses_total{status="D"}': 1,
			qmtp_server_body_bytes_total: 16,
			qmtp_server_held_bytes: 0,
			qmtp_server_faults_total: 1,
			qmtp_server_protocol_errors_total: 1,
			// Histograms know of packages from then on. One of the two did not reach the queue's commit.
			qmtp_server_message_bytes_count: 2,
			qmtp_server_message_bytes_sum: 10,
			qmtp_server_package_duration_seconds_count: 2,
			qmtp_server_commit_duration_seconds_count: 1,
		});
		expect(bench.takeFaults()).toEqual(["oops"]);
	});

	test("show what is there at the moment: connections, and packages in commit", async () => {
		const bench = new Bench({ queue: { hold: true } });
		const registry = new Registry();
		registerMetrics(bench.server, { registry });
		const client = bench.talk();
		client.send(mail() + mail());
		await bench.queue.called("commit", 2);
		let found = await samples(registry);
		expect(found.get("qmtp_server_connections")).toBe(1);
		expect(found.get("qmtp_server_packages_committing")).toBe(2);
		bench.queue.release();
		client.end();
		await client.all();
		await bench.disconnected();
		found = await samples(registry);
		expect(found.get("qmtp_server_connections")).toBe(0);
		expect(found.get("qmtp_server_packages_committing")).toBe(0);
		expect(found.get("qmtp_server_packages_total")).toBe(2);
	});

	test("durations are seconds, taken from what the package event tells", async () => {
		const bench = new Bench();
		const registry = new Registry();
		registerMetrics(bench.server, { registry });
		await bench.exchange(mail());
		const { duration, commitDuration = Number.NaN } = bench.reports[0] ?? { duration: Number.NaN };
		const found = await samples(registry);
		expect(found.get("qmtp_server_package_duration_seconds_sum")).toBe(duration / 1000);
		expect(found.get("qmtp_server_commit_duration_seconds_sum")).toBe(commitDuration / 1000);
	});

	test("every counter ends in _total, each has a help text, and Prometheus' rules for names hold", async () => {
		const registry = new Registry();
		registerMetrics(aServer(), { registry });
		const metrics = await registry.getMetricsAsJSON();
		expect(metrics).toHaveLength(14);
		for (const { name, help, type } of metrics as unknown as { name: string; help: string; type: string }[]) {
			expect(name).toMatch(/^qmtp_server_[a-z_]+$/);
			expect(name.endsWith("_total"), name).toBe(type === "counter");
			expect(help).toMatch(/^[A-Z].*\.$/);
		}
	});

	test("a registry of OpenMetrics shows the same, and gives them up as well", async () => {
		const registry = new Registry<OpenMetricsContentType>();
		registry.setContentType(Registry.OPENMETRICS_CONTENT_TYPE);
		const unregister = registerMetrics(aServer(), { registry });
		const text = await registry.metrics();
		expect(text).toMatch(/^# TYPE qmtp_server_packages counter$/m);
		expect(text).toMatch(/^qmtp_server_packages_total 0$/m);
		expect(await registry.metrics()).toBe(text);
		unregister();
		expect(await registry.metrics()).toBe("\n# EOF\n");
	});
});

describe("servers in one registry", () => {
	test("are told apart by their labels, under one name each", async () => {
		const [plain, tls] = [new Bench(), new Bench()];
		const registry = new Registry();
		registerMetrics(plain.server, { registry, labels: { door: "plain" } });
		registerMetrics(tls.server, { registry, labels: { door: "tls" } });
		await plain.exchange(mail());
		await tls.exchange(mail() + mail());
		const found = await samples(registry);
		expect(found.get('qmtp_server_packages_total{door="plain"}')).toBe(1);
		expect(found.get('qmtp_server_packages_total{door="tls"}')).toBe(2);
		expect(found.get('qmtp_server_responses_total{door="tls",status="K"}')).toBe(2);
		expect(found.get('qmtp_server_message_bytes_count{door="plain"}')).toBe(1);
		expect(found.get('qmtp_server_message_bytes_count{door="tls"}')).toBe(2);
		expect((await registry.metrics()).match(/^# TYPE qmtp_server_packages_total counter$/gm)).toHaveLength(1);
	});

	test("one that is taken out leaves nothing, and the other stays", async () => {
		const [plain, tls] = [new Bench(), new Bench()];
		const registry = new Registry();
		const unregister = registerMetrics(plain.server, { registry, labels: { door: "plain" } });
		registerMetrics(tls.server, { registry, labels: { door: "tls" } });
		await plain.exchange(mail());
		await tls.exchange(mail());
		const listeners = plain.server.listenerCount("package");
		unregister();
		expect(plain.server.listenerCount("package")).toBe(listeners - 1);
		const text = await registry.metrics();
		expect(text).not.toContain("plain");
		expect(text).toContain('qmtp_server_packages_total{door="tls"} 1');
		unregister(); // once more does nothing
		expect(await registry.metrics()).toBe(text);
	});

	test("when the last is taken out the metrics are gone, and the same may come again", async () => {
		const registry = new Registry();
		const server = aServer();
		for (let turn = 0; turn < 2; turn++) {
			const unregister = registerMetrics(server, { registry });
			expect(registry.getMetricsAsArray()).toHaveLength(14);
			unregister();
			expect(registry.getMetricsAsArray()).toEqual([]);
		}
	});

	test("in a registry that its user has cleared they are made anew", async () => {
		const registry = new Registry();
		const before = registerMetrics(aServer(), { registry });
		registry.clear();
		registerMetrics(aServer(), { registry });
		before();
		expect(registry.getMetricsAsArray()).toHaveLength(14);
	});

	test("with prefixes of their own they need no labels, nor in registries of their own", async () => {
		const [registry, other] = [new Registry(), new Registry()];
		const server = aServer();
		registerMetrics(server, { registry });
		registerMetrics(server, { registry, prefix: "inner_" });
		registerMetrics(server, { registry: other });
		expect([...(await samples(registry)).keys()]).toEqual(
			expect.arrayContaining(["qmtp_server_connections", "inner_server_connections"]),
		);
		expect((await samples(other)).has("inner_server_connections")).toBe(false);
	});
});

describe("misuse", () => {
	const code = "ERR_QMTP_OPTION";
	const door = (name: string) => ({ labels: { door: name } });

	test.each([
		["no registry", {}, "registry"],
		["what is no registry", { registry: {} }, "registry"],
		["an option that there is not", { registry: new Registry(), buckets: [1] }, "buckets"],
		["a prefix that no name may have", { registry: new Registry(), prefix: "1-" }, "Invalid metric name"],
		[
			"a label that no name may be",
			{ registry: new Registry(), labels: { "a-b": "" } },
			"Invalid label name",
		],
		["a label of the metrics' own", { registry: new Registry(), labels: { status: "K" } }, "status"],
		["the label of buckets", { registry: new Registry(), labels: { le: "1" } }, "le"],
	])("%s is refused", (_, options, message) => {
		const wrong = options as { registry: Registry };
		expect(() => registerMetrics(aServer(), wrong)).toThrow(expect.objectContaining({ code }));
		expect(() => registerMetrics(aServer(), wrong)).toThrow(message);
		if (wrong.registry instanceof Registry) expect(wrong.registry.getMetricsAsArray()).toEqual([]);
	});

	test("a second server that cannot be told from the first is refused, and the first goes on", async () => {
		const registry = new Registry();
		registerMetrics(aServer(), { registry, ...door("plain") });
		const others = [door("plain"), {}, { labels: { port: "1" } }, { labels: { door: "tls", port: "1" } }];
		for (const other of others) {
			expect(() => registerMetrics(aServer(), { registry, ...other })).toThrow(
				expect.objectContaining({ code }),
			);
		}
		expect((await registry.metrics()).match(/^qmtp_server_packages_total/gm)).toHaveLength(1);
	});

	test("a name that is taken is refused, what was there stays, and nothing else is left behind", async () => {
		const registry = new Registry();
		const theirs = new Registry();
		registerMetrics(aServer(), { registry: theirs });
		const taken = theirs.getSingleMetric("qmtp_server_faults_total");
		if (taken !== undefined) registry.registerMetric(taken);
		expect(() => registerMetrics(aServer(), { registry })).toThrow("already been registered");
		expect(registry.getMetricsAsArray()).toEqual([taken]);
	});
});

function aServer(): QmtpServer {
	return new QmtpServer({ queue: new TestQueue() });
}

function answerTo(recipient: string) {
	return { status: recipient.toUpperCase() as "K" | "Z" | "D", description: "so" };
}

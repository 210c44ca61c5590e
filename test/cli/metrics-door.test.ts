/** The metrics door: a small HTTP server that anybody may talk to, rightly or wrongly. */
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { describe, expect, onTestFinished, test } from "vitest";
import type { Log } from "../../src/cli/log.js";
import { type MetricsDoor, metricsTarget, openMetricsDoor } from "../../src/cli/serve/metrics-door.js";
import { Bench } from "../support/server-bench.js";
import { mail } from "../support/server-client.js";

const LOCAL = { host: "127.0.0.1", port: 0 };

async function open(bench: Bench = new Bench(), faults: Error[] = []): Promise<MetricsDoor> {
	const log = { fault: (error: Error) => void faults.push(error) } as unknown as Log;
	const door = await openMetricsDoor([{ name: "plain", server: bench.server }], LOCAL, log);
	onTestFinished(() => door.destroy());
	return door;
}

function url({ address }: MetricsDoor, path = "/metrics"): string {
	return `http://127.0.0.1:${address.port}${path}`;
}

/** Sends this as it is, and resolves with all that comes back until the door closes. */
async function raw(door: MetricsDoor, text: string): Promise<string> {
	const socket = await connected(door);
	socket.write(text);
	let answer = "";
	socket.setEncoding("latin1").on("data", (data: string) => {
		answer += data;
	});
	await once(socket, "close");
	return answer;
}

async function connected({ address }: MetricsDoor): Promise<Socket> {
	const socket = connect(address.port, "127.0.0.1");
	onTestFinished(() => void socket.destroy());
	socket.on("error", () => {});
	await once(socket, "connect");
	return socket;
}

describe("the door", () => {
	test("tells the metrics of its servers and of the process", async () => {
		const bench = new Bench();
		const door = await open(bench);
		await bench.exchange(mail());
		const response = await fetch(url(door));
		expect(response.status).toBe(200);
		expect(response.headers.get("content-type")).toBe("text/plain; version=0.0.4; charset=utf-8");
		const text = await response.text();
		expect(text).toMatch(/^qmtp_server_packages_total\{door="plain"\} 1$/m);
		expect(text).toMatch(/^process_resident_memory_bytes \d+$/m);
		expect(text).toMatch(/^nodejs_eventloop_lag_p99_seconds [\d.e-]+$/m);
		expect(text).toMatch(/^nodejs_heap_size_used_bytes \d+$/m);
	});

	test("tells them again at each call, also with a query behind the path", async () => {
		const bench = new Bench();
		const door = await open(bench);
		for (const packages of [1, 2]) {
			await bench.exchange(mail());
			const text = await (await fetch(url(door, "/metrics?name[]=x"))).text();
			expect(text).toContain(`qmtp_server_packages_total{door="plain"} ${packages}\n`);
		}
	});

	test("answers HEAD with the length and nothing else", async () => {
		const door = await open();
		const [head = "", body] = (await raw(door, "HEAD /metrics HTTP/1.1\r\nHost: a\r\n\r\n")).split(
			"\r\n\r\n",
		);
		expect(head).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
		expect(Number(/^Content-Length: (\d+)$/im.exec(head)?.[1])).toBeGreaterThan(1000);
		expect(head).toMatch(/^Connection: close$/im);
		expect(body).toBe("");
	});

	test.each(["/", "/metric", "/metrics/", "/metrics/x", "//metrics", "*"])(
		"%s is not there",
		async (path) => {
			const door = await open();
			for (const method of ["GET", "POST"]) {
				const answer = await raw(door, `${method} ${path} HTTP/1.1\r\nHost: a\r\n\r\n`);
				expect(answer).toMatch(/^HTTP\/1\.1 404 Not Found\r\n/);
				expect(answer).toMatch(/\r\n\r\nthere is only \/metrics here\n$/);
			}
		},
	);

	test.each(["POST", "PUT", "DELETE", "OPTIONS"])("%s is not allowed", async (method) => {
		const door = await open();
		const response = await fetch(url(door), { method });
		expect(response.status).toBe(405);
		expect(response.headers.get("allow")).toBe("GET, HEAD");
		expect(await response.text()).toBe("only GET and HEAD\n");
	});

	test("what is no HTTP, or has headers without end, is refused and closed, and the next call is answered", async () => {
		const door = await open();
		expect(await raw(door, mail())).toMatch(/^HTTP\/1\.1 400 /);
		expect(await raw(door, `GET /metrics HTTP/1.1\r\nHost: ${"a".repeat(9000)}\r\n\r\n`)).toMatch(
			/^HTTP\/1\.1 431 /,
		);
		expect((await fetch(url(door))).status).toBe(200);
	});

	test("a connection is for one call", async () => {
		const door = await open();
		const call = "GET /x HTTP/1.1\r\nHost: a\r\n\r\n";
		expect((await raw(door, call + call)).match(/HTTP\/1\.1 404/g)).toHaveLength(1);
	});

	test("metrics that cannot be told are a 500 and a fault, and nothing of why is shown", async () => {
		const bench = new Bench();
		const faults: Error[] = [];
		const door = await open(bench, faults);
		Object.defineProperty(bench.server, "stats", {
			value: () => {
				throw new Error("inner");
			},
		});
		const response = await fetch(url(door));
		expect(response.status).toBe(500);
		expect(await response.text()).not.toContain("inner");
		expect(faults.map(({ message }) => message)).toEqual(["inner"]);
	});

	test("connections beyond sixteen are dropped, and there is room again when one has gone", async () => {
		const door = await open();
		const silent = await Promise.all(Array.from({ length: 16 }, () => connected(door)));
		const [first = await connected(door)] = silent;
		// Those stand in the door's count only when it has seen them.
		const dropped = await connected(door);
		if (!dropped.closed) await once(dropped, "close");
		const gone = once(first, "close");
		first.end();
		await gone;
		expect(await raw(door, "GET /metrics HTTP/1.0\r\n\r\n")).toMatch(/^HTTP\/1\.1 200 /);
	});
});

describe("its end", () => {
	test("close() lets nobody wait who has not asked, and gives up the port", async () => {
		const door = await open();
		const silent = await connected(door);
		await fetch(url(door)); // so that the door has seen the one before
		await door.close();
		if (!silent.closed) await once(silent, "close");
		await expect(fetch(url(door))).rejects.toThrow();
	});

	test("destroy() drops all at once", async () => {
		const door = await open();
		const silent = await connected(door);
		await fetch(url(door));
		door.destroy();
		if (!silent.closed) await once(silent, "close");
		await expect(fetch(url(door))).rejects.toThrow();
	});

	test("a port in use is an error that says where and what for", async () => {
		const door = await open();
		const { port } = door.address;
		await expect(openMetricsDoor([], { host: "127.0.0.1", port }, {} as Log)).rejects.toMatchObject({
			code: "ERR_QMTP_LISTEN",
			message: expect.stringMatching(/^cannot listen on 127\.0\.0\.1:\d+ for metrics: .*EADDRINUSE/),
		});
	});
});

describe("--metrics", () => {
	test.each([
		[undefined, null],
		["9209", { host: "127.0.0.1", port: 9209 }],
		["0", { host: "127.0.0.1", port: 0 }],
		["192.0.2.1:9209", { host: "192.0.2.1", port: 9209 }],
		["localhost:65535", { host: "localhost", port: 65535 }],
		["[::1]:9209", { host: "::1", port: 9209 }],
	])("%s", (text, target) => {
		expect(metricsTarget(text)).toEqual(target);
	});

	test.each([
		"",
		":1",
		"65536",
		"localhost",
		"localhost:",
		"::1:9209",
		"[x]:1",
		"[]:1",
		"a b:1",
		"-1",
		"1e3",
	])("'%s' is wrong use", (text) => {
		expect(() => metricsTarget(text)).toThrow("--metrics must be [HOST:]PORT");
	});
});

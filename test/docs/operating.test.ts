/** docs/operating.md: its code runs, its tables name what there is, and its spans are those of real mail. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, readFile, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Registry } from "prom-client";
import { describe, expect, test } from "vitest";
import { processRegistry } from "../../src/metrics/process.js";
import { registerMetrics } from "../../src/metrics/register.js";
import { discardQueue } from "../../src/queue/discard.js";
import { QmtpServer } from "../../src/server/server.js";
import { withDirectory } from "../support/program.js";

const root = fileURLToPath(new URL("../..", import.meta.url));
const page = await readFile(join(root, "docs", "operating.md"), "utf8");
const blocks = [...page.matchAll(/^```js\n(.*?)^```$/gms)].map(([, code = ""]) => code);

/** Runs modules in a directory where what the page imports is installed: the first is run, others it may import. */
async function runModules(modules: Readonly<Record<string, string>>) {
	const output = { code: null as number | null, stdout: "", stderr: "" };
	await withDirectory(async (directory) => {
		await mkdir(join(directory, "node_modules"));
		await symlink(root, join(directory, "node_modules", "qmtp"));
		for (const name of ["prom-client", "@opentelemetry"]) {
			await symlink(join(root, "node_modules", name), join(directory, "node_modules", name));
		}
		for (const [name, code] of Object.entries(modules)) await writeFile(join(directory, name), code);
		const first = Object.keys(modules)[0] as string;
		const child = spawn(process.execPath, [first], { cwd: directory, stdio: "pipe" });
		for (const name of ["stdout", "stderr"] as const) {
			child[name].setEncoding("utf8").on("data", (text: string) => {
				output[name] += text;
			});
		}
		[output.code] = await once(child, "close");
	});
	return output;
}

/** The names of metrics, and their types, as a registry has them. */
async function metricsOf(registry: Registry): Promise<Map<string, string>> {
	const metrics = (await registry.getMetricsAsJSON()) as unknown as { name: string; type: string }[];
	return new Map(metrics.map(({ name, type }) => [name, type]));
}

function registered(registry: Registry): Registry {
	registerMetrics(new QmtpServer({ queue: discardQueue() }), { registry });
	return registry;
}

test("the code for watching and for metrics runs, and prints what there is", async () => {
	expect(blocks).toHaveLength(3);
	const [watching = "", metrics = ""] = blocks;
	expect(await runModules({ "watching.mjs": watching })).toEqual({
		code: 0,
		stdout: "0 0 0 0 0 0\n",
		stderr: "",
	});
	const { code, stdout, stderr } = await runModules({ "metrics.mjs": metrics });
	expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
	expect(stdout).toContain('qmtp_server_packages_total{door="plain"} 0\n');
});

describe("the metrics", () => {
	test("of the table are those that there are, with their types", async () => {
		const rows = [...page.matchAll(/^\| `(qmtp_\w+)` +\| (\w+) +\|/gm)];
		expect(new Map(rows.map(([, name = "", type = ""]) => [name, type]))).toEqual(
			await metricsOf(registered(new Registry())),
		);
	});

	test("of the alerts are among those of `qmtp serve --metrics`", async () => {
		const alerts = /^Alerts worth having:\n\n```text\n(.*?)^```$/ms.exec(page)?.[1] ?? "";
		const names = [...alerts.matchAll(/\b(?:qmtp|process|nodejs)_\w+/g)].map(([name]) =>
			name.replace(/_bucket$/, ""),
		);
		expect(names.length).toBeGreaterThan(8);
		expect([...(await metricsOf(registered(processRegistry()))).keys()]).toEqual(
			expect.arrayContaining(names),
		);
	});
});

interface SpanLine {
	readonly name: string;
	readonly kind: number;
	readonly id: string;
	readonly trace: string;
	readonly parent?: string;
	readonly status: number;
	readonly attributes: Readonly<Record<string, unknown>>;
}

const PROGRAM = `
	import { AsyncLocalStorageContextManager } from "@opentelemetry/context-async-hooks";
	import { context, trace } from "@opentelemetry/api";
	import { BasicTracerProvider, InMemorySpanExporter, SimpleSpanProcessor } from "@opentelemetry/sdk-trace-base";
	import { QmtpClient, QmtpServer, acceptAnyone } from "qmtp";
	import { memoryQueue } from "qmtp/queue/memory";
	import { currentSpan } from "./tracing.mjs";

	const exporter = new InMemorySpanExporter();
	trace.setGlobalTracerProvider(new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] }));
	context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
	const tracer = trace.getTracer("test");

	async function sender(address) {
		const span = tracer.startSpan("look up", {}, trace.setSpan(context.active(), currentSpan.getStore()));
		await new Promise((resolve) => setImmediate(resolve));
		span.end();
		if (address === "bad@example.org") throw new Error("no such table");
	}
	const last = new QmtpServer({ queue: memoryQueue(), hooks: { recipient: acceptAnyone, sender } });
	last.on("fault", () => {});
	const { port } = await last.listen({ port: 0, host: "127.0.0.1" });
	const onward = new QmtpClient({ port });
	const relay = new QmtpServer({
		hooks: { recipient: acceptAnyone },
		queue: {
			open: () => ({
				write() {},
				commit: async (envelope) => (await onward.send({ ...envelope, message: "hello" })).responses,
				abort: async () => {},
			}),
		},
	});
	const first = await relay.listen({ port: 0, host: "127.0.0.1" });
	const client = new QmtpClient({ port: first.port });
	const mail = { message: "hello", recipients: ["you@example.com"] };
	await tracer.startActiveSpan("request", async (span) => {
		await client.send({ ...mail, sender: "me@example.org" });
		span.end();
	});
	await client.send({ ...mail, sender: "bad@example.org" });
	await client.send({ ...mail, sender: "me@example.org", recipients: [] }).catch(() => {});
	await Promise.all([client.close(), relay.close()]);
	await onward.close();
	await last.close();
	const lines = exporter.getFinishedSpans().map((span) => ({
		name: span.name,
		kind: span.kind,
		id: span.spanContext().spanId,
		trace: span.spanContext().traceId,
		parent: span.parentSpanContext?.spanId,
		status: span.status.code,
		attributes: span.attributes,
	}));
	console.log(JSON.stringify({ lines, ports: [first.port, port] }));
`;

test("mail over two hops leaves the spans that the page promises", async () => {
	const { code, stdout, stderr } = await runModules({
		"main.mjs": PROGRAM,
		"tracing.mjs": blocks[2] as string,
	});
	expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
	const { lines, ports } = JSON.parse(stdout) as { lines: SpanLine[]; ports: number[] };
	const [client, server] = [2, 1]; // of SpanKind
	const [ok, failed] = [0, 2]; // of SpanStatusCode
	const named = (name: string) => lines.filter((line) => line.name === name);
	const [request] = named("request");

	// Each hop's two spans are tied by the id of its package.
	const sends = named("qmtp send");
	const packages = named("qmtp package");
	expect(sends).toHaveLength(5); // three calls, of which two go on by one each
	expect(packages).toHaveLength(4);
	const sendTo = (port: number | undefined) =>
		sends.filter(({ attributes }) => attributes["server.address"] && attributes["server.port"] === port);
	const [calls, onward] = [sendTo(ports[0]), sendTo(ports[1])];
	expect(calls.map(({ kind, status }) => [kind, status])).toEqual([
		[client, ok],
		[client, ok],
		[client, failed],
	]);
	expect(calls[0]).toMatchObject({ parent: request?.id, trace: request?.trace });
	expect(calls[1]?.parent).toBeUndefined();
	expect(calls[0]?.attributes).toMatchObject({ "qmtp.K": 1, "qmtp.Z": 0, "qmtp.D": 0 });
	expect(calls[1]?.attributes).toMatchObject({ "qmtp.K": 0, "qmtp.Z": 1, "qmtp.D": 0 });

	const [lastPackage, relayed] = packages as [SpanLine, SpanLine];
	const id = String(lastPackage.attributes["qmtp.package"]);
	expect(onward[0]?.attributes["qmtp.answer"]).toMatch(new RegExp(`^ok \\d+ qp ${id}$`));
	expect(calls[0]?.attributes["qmtp.answer"]).toBe(onward[0]?.attributes["qmtp.answer"]);
	expect(relayed).toMatchObject({ kind: server, status: ok });
	expect(relayed.attributes).toMatchObject({ "client.address": "127.0.0.1", "qmtp.bytes": 5, "qmtp.K": 1 });
	expect(onward[0]).toMatchObject({ parent: relayed.id, trace: relayed.trace });

	// What a hook did stands below its package, and one that threw makes it an error.
	const lookUps = named("look up");
	expect(lookUps.map(({ parent }) => parent)).toEqual([packages[0]?.id, packages[2]?.id]);
	expect(packages.map(({ status }) => status)).toEqual([ok, ok, failed, ok]);
	expect(lines).toHaveLength(1 + 5 + 4 + 2);
});

test("the channels and fields of the table are those of the sources", async () => {
	const sources = { client: "src/client/tracing.ts", server: "src/server/package-trace.ts" };
	const text = { client: "", server: "" };
	for (const side of ["client", "server"] as const)
		text[side] = await readFile(join(root, sources[side]), "utf8");
	const rows = [...page.matchAll(/^\| `(qmtp:(client|server):\w+)` +\| `\w+` +\| `(\w+)`: (.*?) +\|$/gm)];
	expect(rows).toHaveLength(3);
	for (const [, channel, side, type, fields = ""] of rows) {
		const source = text[side as "client" | "server"];
		expect(source).toContain(`hannel("${channel}")`);
		const body = new RegExp(`export interface ${type} \\{\\n(.*?)^\\}`, "ms").exec(source)?.[1] ?? "";
		const declared = [...body.matchAll(/^\t(?:readonly )?(\w+)\??:/gm)].map(([, name]) => name);
		const outer = fields.replace(/\(.*?\)/g, "");
		expect([...outer.matchAll(/`(\w+)`/g)].map(([, name]) => name)).toEqual(declared);
	}
});

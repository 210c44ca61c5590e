/** `qmtp serve --metrics`. */
import { once } from "node:events";
import { connect } from "node:net";
import { expect, test } from "vitest";
import { run, start, withServer } from "../support/program.js";

const PACKAGE = "7:\nhello\n,0:,20:16:rcpt@example.com,,";

async function metrics(port: string): Promise<string> {
	return (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
}

test("the door tells what the server does, and so it does while the server ends", async () => {
	await withServer(["--queue", "discard:", "--metrics", "0"], async (server) => {
		const [, port = ""] = await server.until("stdout", /^listening on 127\.0\.0\.1:(\d+) for metrics$/m);
		const client = connect({ port: Number(server.port), host: "127.0.0.1", allowHalfOpen: true });
		await once(client, "connect");
		client.write(PACKAGE + PACKAGE.slice(0, 4));
		await once(client, "data");
		const text = await metrics(port);
		expect(text).toMatch(/^qmtp_server_connections\{door="plain"\} 1$/m);
		expect(text).toMatch(/^qmtp_server_packages_total\{door="plain"\} 1$/m);
		expect(text).toMatch(/^process_start_time_seconds \d+$/m);
		server.child.kill("SIGTERM");
		await server.until("stderr", /finishing 1 connections/);
		expect(await metrics(port)).toMatch(/^qmtp_server_packages_total\{door="plain"\} 1$/m);
		const rest = once(client, "data");
		client.write(PACKAGE.slice(4));
		await rest;
		client.end();
		expect(await server.exit).toBe(0);
	});
});

test("a port that is taken ends the program with one line", async () => {
	await withServer(["--queue", "discard:"], async (server) => {
		const args = ["serve", "--port", "0", "--queue", "discard:", "--metrics", server.port];
		const { code, stdout, stderr } = await run(args);
		expect({ code, stdout }).toEqual({ code: 111, stdout: "" });
		expect(stderr).toMatch(/^qmtp serve: cannot listen on 127\.0\.0\.1:\d+ for metrics: .*EADDRINUSE.*\n$/);
	});
});

test("what is no address is wrong use", async () => {
	const { code, stderr } = await run(["serve", "--metrics", "localhost"]);
	expect(code).toBe(1);
	expect(stderr).toMatch(/^qmtp serve: --metrics must be \[HOST:\]PORT, .* \(try: qmtp serve --help\)\n$/);
});

test("without prom-client it says what to install, and exits 111; without --metrics nobody misses it", async () => {
	const hooks = `export const resolve = (name, context, next) => {
		if (name !== "prom-client") return next(name, context);
		throw Object.assign(new Error("Cannot find package"), { code: "ERR_MODULE_NOT_FOUND" });
	}`;
	const preload = `import { register } from "node:module"; register(${JSON.stringify(module(hooks))});`;
	const env = { NODE_OPTIONS: `--import=${module(preload)}` };
	const args = ["serve", "--port", "0", "--queue", "discard:"];
	const stderr = "qmtp serve: --metrics needs the package prom-client: npm install prom-client\n";
	expect(await run([...args, "--metrics", "0"], { env })).toEqual({ code: 111, stdout: "", stderr });
	const server = start(args, { env });
	await server.until("stdout", /^listening on /);
	server.child.kill("SIGTERM");
	expect(await server.exit).toBe(0);
});

function module(code: string): string {
	return `data:text/javascript,${encodeURIComponent(code)}`;
}

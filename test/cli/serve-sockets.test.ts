/** Where `qmtp serve` listens: on ports, on descriptors, and on those that a supervisor hands over. */
import { describe, expect, test } from "vitest";
import { parseArguments } from "../../src/cli/command.js";
import { type Activation, doorTargets } from "../../src/cli/serve/sockets.js";
import { serve } from "../../src/cli/serve.js";
import { run } from "../support/program.js";

const { pid } = process;
const own = (LISTEN_FDS: string, LISTEN_FDNAMES?: string): Activation => ({
	LISTEN_PID: String(pid),
	LISTEN_FDS,
	LISTEN_FDNAMES,
});

function targets(args: readonly string[], activation: Activation = {}, hasTls = false) {
	return doorTargets(parseArguments(serve, args), activation, hasTls);
}

describe("ports and descriptors", () => {
	test("each door has its port, those that are off have none", () => {
		expect(targets([])).toEqual({ qmtp: [{ host: "127.0.0.1", port: 2209 }], qmtps: [], smtp: [] });
		const all = ["--host", "::1", "--port", "0", "--smtp-port", "2525"];
		expect(targets(all, {}, true)).toEqual({
			qmtp: [{ host: "::1", port: 0 }],
			qmtps: [{ host: "::1", port: 6209 }],
			smtp: [{ host: "::1", port: 2525 }],
		});
	});

	test("a descriptor goes in place of the port", () => {
		const args = ["--fd", "3", "--tls-fd", "4", "--smtp-fd", "5"];
		expect(targets(args, {}, true)).toEqual({ qmtp: [{ fd: 3 }], qmtps: [{ fd: 4 }], smtp: [{ fd: 5 }] });
	});

	test.each([
		[["--fd", "3", "--port", "209"], "--fd goes in place of --port"],
		[["--tls-fd", "3", "--tls-port", "209"], "--tls-fd goes in place of --tls-port"],
		[["--smtp-fd", "3", "--smtp-port", "25"], "--smtp-fd goes in place of --smtp-port"],
		[["--fd", "3", "--smtp-fd", "3"], "two doors cannot have the same descriptor"],
		[["--fd", "x"], "--fd must be a whole number from 0 to 65535, not 'x'"],
	])("%j is wrong", (args, message) => {
		expect(() => targets(args)).toThrow(message);
	});

	test.each([
		["99", []],
		["0", []], // it is a pipe here
		["99", ["--workers", "2"]],
	])("descriptor %s, on which nothing can listen, is one line and exit 111 %j", async (fd, more) => {
		const { code, stdout, stderr } = await run(["serve", "--queue", "discard:", "--fd", fd, ...more]);
		expect({ code, stdout }).toEqual({ code: 111, stdout: "" });
		expect(stderr).toMatch(/^qmtp serve: cannot listen on descriptor \d+: it is not a socket.*\n$/);
	});

	test("--tls-fd needs a certificate", async () => {
		const { code, stderr } = await run(["serve", "--tls-fd", "3"]);
		expect(code).toBe(1);
		expect(stderr).toContain("--tls-fd needs --tls-cert and --tls-key");
	});
});

describe("descriptors of a supervisor", () => {
	test("without names they are for the doors that are on, in order", () => {
		expect(targets(["--smtp-port", "25"], own("2"))).toEqual({
			qmtp: [{ fd: 3 }],
			qmtps: [],
			smtp: [{ fd: 4 }],
		});
		expect(targets([], own("2"), true)).toEqual({ qmtp: [{ fd: 3 }], qmtps: [{ fd: 4 }], smtp: [] });
		expect(targets([], own("1", "mail.socket"))).toMatchObject({ qmtp: [{ fd: 3 }] });
	});

	test("names say whose they are, also those of units, and a door may have several", () => {
		expect(targets([], own("3", "qmtps:qmtp.socket:qmtps"), true)).toEqual({
			qmtp: [{ fd: 4 }],
			qmtps: [{ fd: 3 }, { fd: 5 }],
			smtp: [],
		});
		expect(targets([], own("1", "smtp"))).toEqual({
			qmtp: [{ host: "127.0.0.1", port: 2209 }],
			qmtps: [],
			smtp: [{ fd: 3 }],
		});
	});

	test("those of another process are not taken, nor is an empty list", () => {
		expect(targets([], { LISTEN_PID: String(pid + 1), LISTEN_FDS: "1" }).qmtp).toEqual([
			{ host: "127.0.0.1", port: 2209 },
		]);
		expect(targets([], own("0")).qmtp).toEqual([{ host: "127.0.0.1", port: 2209 }]);
	});

	test.each<[string, readonly string[], Activation]>([
		["LISTEN_PID must be the number of a process, not 'me'", [], { LISTEN_PID: "me", LISTEN_FDS: "1" }],
		["LISTEN_FDS must be a whole number from 0 to 64, not '-1'", [], own("-1")],
		["LISTEN_FDS must be a whole number from 0 to 64, not '1000'", [], own("1000")],
		["LISTEN_FDS has 2 descriptors without names, for 1 doors", [], own("2")],
		["LISTEN_FDNAMES has 1 names for 2 descriptors of LISTEN_FDS", [], own("2", "qmtp")],
		["and not 'http' beside them", [], own("2", "qmtp:http")],
		["which needs --tls-cert and --tls-key", [], own("1", "qmtps")],
		["are not for a server that gets its sockets by LISTEN_FDS", ["--fd", "7"], own("1")],
		["LISTEN_FDS has two descriptors for SMTP", [], own("2", "smtp:smtp")],
	])("%s", (message, args, activation) => {
		expect(() => targets(args, activation)).toThrow(message);
	});

	test("what is wrong is one line, and exit 1", async () => {
		// Not the process's own number, which nobody knows before; a wrong one is told whoever it is for.
		const { code, stderr } = await run(["serve"], { env: { LISTEN_PID: "x", LISTEN_FDS: "1" } });
		expect(code).toBe(1);
		expect(stderr).toBe(
			"qmtp serve: LISTEN_PID must be the number of a process, not 'x' (try: qmtp serve --help)\n",
		);
	});
});

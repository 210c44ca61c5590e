/** Options that make no sense are refused when the server is made. */
import { describe, expect, test } from "vitest";
import { UsageError } from "../../src/errors.js";
import { QmtpServer } from "../../src/server/server.js";
import { Bench } from "../support/server-bench.js";
import { mail } from "../support/server-client.js";
import { TestQueue } from "../support/server-queue.js";

const queue = new TestQueue();
const making = (options: unknown) => () => new QmtpServer(options as { queue: TestQueue });

function refused(options: unknown): UsageError {
	try {
		making(options)();
	} catch (error) {
		expect(error).toBeInstanceOf(UsageError);
		expect(error).toMatchObject({ code: "ERR_QMTP_OPTION" });
		return error as UsageError;
	}
	throw new Error("was taken");
}

test.each([
	["no options", undefined],
	["null", null],
	["no queue", {}],
	["a queue that cannot open", { queue: {} }],
	["a queue that is null", { queue: null }],
])("a server needs a queue: %s", (_, options) => {
	expect(refused(options).message).toContain("queue");
});

test("an addressEncoding that there is not", () => {
	expect(refused({ queue, addressEncoding: "utf8" }).message).toContain('"utf-8" or "latin1"');
});

test("an option that there is not: who asks for starttls must not get a server without it", () => {
	expect(refused({ queue, starttls: {} }).message).toBe("there is no option starttls");
});

const limits = ["messageBytes", "addressBytes", "recipientBytes", "recipients", "pipelined", "connections"];
const timeouts = ["idle", "session", "commit", "linger"];

describe.each([
	["limits", limits],
	["timeouts", timeouts],
])("%s", (group, names) => {
	test("must have names that there are", () => {
		expect(refused({ queue, [group]: { recepients: 5 } }).message).toContain(`${group}.recepients`);
		expect(refused({ queue, [group]: { recepients: undefined } }).message).toContain(`${group}.recepients`);
	});

	test.each(names)("%s must be a number that is not negative", (name) => {
		for (const value of [Number.NaN, -1, Number.NEGATIVE_INFINITY, "5", null, true, 5n]) {
			const { message } = refused({ queue, [group]: { [name]: value } });
			expect(message).toContain(`${group}.${name}`);
			expect(message).toContain(String(value));
		}
		for (const value of [1, 1e9, Number.POSITIVE_INFINITY, undefined]) {
			expect(making({ queue, [group]: { [name]: value } })).not.toThrow();
		}
	});

	test.each(names)("%s may be zero only if that makes sense", (name) => {
		const make = making({ queue, [group]: { [name]: 0 } });
		if (name === "messageBytes" || name === "addressBytes") expect(make).not.toThrow();
		else expect(make).toThrow(UsageError);
	});

	test("may be left out, or be undefined", () => {
		expect(making({ queue, [group]: {} })).not.toThrow();
		expect(making({ queue, [group]: undefined })).not.toThrow();
	});
});

test("limits of zero refuse what is not empty", async () => {
	const bench = new Bench({ limits: { messageBytes: 0, addressBytes: 0 } });
	const empty = mail({ message: "\n", sender: "", recipients: ["", "a"] });
	expect(await bench.exchange(empty + mail())).toEqual([
		"Kok",
		"Dsorry, I can't handle that recipient (#5.1.3)",
		"Dsorry, I can't handle that recipient (#5.1.3)",
	]);
});

test("a server does not change the options that it is given, nor notice when they change", async () => {
	const options = { limits: { recipients: 1 } };
	const bench = new Bench(options);
	options.limits.recipients = 5;
	expect(await bench.exchange(mail({ recipients: ["a", "b"] }))).toEqual([
		"Kok",
		"Zsorry, too many recipients in one package (#4.5.3)",
	]);
});

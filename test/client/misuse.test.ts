/** What a caller may not do: it is told so at once, and nothing is sent. */
import { describe, expect, test } from "vitest";
import { QmtpClient } from "../../src/client/client.js";
import type { ClientOptions } from "../../src/client/options.js";
import { UsageError } from "../../src/errors.js";
import { mail, recipients, statuses } from "../support/client-mail.js";
import { noUnhandledRejections } from "../support/client-rejections.js";
import { acceptingServer } from "../support/client-server.js";

noUnhandledRejections();

describe("send", () => {
	const misuses: Record<string, [options: object, code: string, message: RegExp]> = {
		"no recipients": [{ recipients: [] }, "ERR_QMTP_RECIPIENTS", /at least one/],
		"recipients that are no array": [{ recipients: "a@example.com" }, "ERR_QMTP_RECIPIENTS", /array/],
		"recipients left out": [{ recipients: undefined }, "ERR_QMTP_RECIPIENTS", /array/],
		"a recipient that is no string": [{ recipients: ["a", 1] }, "ERR_QMTP_ADDRESS", /recipient/],
		"a recipient left out of the array": [{ recipients: Array(1) }, "ERR_QMTP_ADDRESS", /recipient/],
		"a sender that is no string": [{ sender: null }, "ERR_QMTP_ADDRESS", /sender/],
		"a sender left out": [{ sender: undefined }, "ERR_QMTP_ADDRESS", /sender/],
		"a lone surrogate in the sender": [{ sender: "\ud800" }, "ERR_QMTP_ADDRESS", /surrogate/],
		"a lone surrogate in a recipient": [{ recipients: ["a", "b\udfff"] }, "ERR_QMTP_ADDRESS", /surrogate/],
		"a message that is a number": [{ message: 7 }, "ERR_QMTP_MESSAGE", /message is/],
		"a message that is null": [{ message: null }, "ERR_QMTP_MESSAGE", /message is/],
		"no message": [{ message: undefined }, "ERR_QMTP_MESSAGE", /message is/],
		"a message that is an array": [{ message: [1, 2] }, "ERR_QMTP_MESSAGE", /message is/],
		"a message that is an ArrayBuffer": [{ message: new ArrayBuffer(3) }, "ERR_QMTP_MESSAGE", /message is/],
		"a path that is no string": [{ message: { path: 7 } }, "ERR_QMTP_MESSAGE", /message is/],
		"an unknown encoding": [{ encoding: "cr" }, "ERR_QMTP_MESSAGE", /encoding/],
		"an unknown transmit": [{ transmit: "crlf" }, "ERR_QMTP_MESSAGE", /transmit/],
		"a size below zero": [{ size: -1 }, "ERR_QMTP_MESSAGE", /size/],
		"a size that is no whole number": [{ size: 1.5 }, "ERR_QMTP_MESSAGE", /size/],
		"a size that is a string": [{ size: "7" }, "ERR_QMTP_MESSAGE", /size/],
		"a size beyond all numbers": [{ size: Number.POSITIVE_INFINITY }, "ERR_QMTP_MESSAGE", /size/],
	};
	test.each(Object.keys(misuses))("%s", async (name) => {
		const [options, code, message] = misuses[name] as (typeof misuses)[string];
		const server = await acceptingServer();
		const call = server.client().send(mail(options));
		await expect(call).rejects.toBeInstanceOf(UsageError);
		await expect(call).rejects.toMatchObject({ code, message: expect.stringMatching(message) });
		expect(server.connections).toHaveLength(0);
	});

	test("nothing is sent to the good recipients of a list with a bad one", async () => {
		const server = await acceptingServer();
		const client = server.client({ maxRecipientsPerPackage: 1 });
		const call = client.send(mail({ recipients: ["good@example.com", "bad\ud800@example.com"] }));
		await expect(call).rejects.toMatchObject({ code: "ERR_QMTP_ADDRESS" });
		expect(server.connections).toHaveLength(0);
	});

	test("a character that Latin-1 does not have, where addresses are Latin-1", async () => {
		const server = await acceptingServer();
		const client = server.client({ addressEncoding: "latin1" });
		await expect(client.send(mail({ recipients: ["\u20ac"] }))).rejects.toMatchObject({
			code: "ERR_QMTP_ADDRESS",
		});
		expect(statuses(await client.send(mail({ sender: "\u00ff", recipients: ["\u0080"] })))).toBe("K");
		expect(server.connections[0]?.packages[0]).toMatchObject({ sender: "\u00ff", recipients: ["\u0080"] });
	});

	test("addresses are UTF-8 unless told otherwise", async () => {
		const server = await acceptingServer();
		await server.client().send(mail({ sender: "", recipients: ["\u20ac@example.com"] }));
		const utf8 = Buffer.from("\u20ac@example.com").toString("latin1");
		expect(server.connections[0]?.packages[0]).toMatchObject({ sender: "", recipients: [utf8] });
	});

	test("a call behind a bad one is sent", async () => {
		const server = await acceptingServer();
		const client = server.client();
		const bad = client.send(mail({ recipients: [] }));
		const good = client.send(mail());
		await expect(bad).rejects.toBeInstanceOf(UsageError);
		expect(statuses(await good)).toBe("K");
	});

	test("the recipients that the caller changes during the call do not change the call", async () => {
		const server = await acceptingServer();
		const changed = recipients(3);
		const call = server.client().send(mail({ recipients: changed }));
		changed.length = 0;
		expect(statuses(await call)).toBe("KKK");
		expect(server.connections[0]?.packages[0]?.recipients).toEqual(recipients(3));
	});

	test.each(["close", "destroy"] as const)("after %s()", async (end) => {
		const server = await acceptingServer();
		const client = server.client();
		await client[end]();
		await expect(client.send(mail())).rejects.toMatchObject({
			name: "UsageError",
			code: "ERR_QMTP_CLIENT_CLOSED",
		});
		expect(server.connections).toHaveLength(0);
	});
});

describe("the options", () => {
	const wrong: Record<string, [options: object, message: RegExp]> = {
		"port 0": [{ port: 0 }, /port/],
		"an option that there is not": [{ starttls: {} }, /no option starttls/],
		"a port beyond the last": [{ port: 65536 }, /port/],
		"a port that is no whole number": [{ port: 209.5 }, /port/],
		"a port that is a string": [{ port: "209" }, /port/],
		"a host that is no string": [{ host: 7 }, /host/],
		"no recipients a package": [{ maxRecipientsPerPackage: 0 }, /maxRecipientsPerPackage/],
		"recipients a package that are no number": [{ maxRecipientsPerPackage: NaN }, /maxRecipientsPerPackage/],
		"an unknown encoding of addresses": [{ addressEncoding: "utf8" }, /addressEncoding/],
		"an unknown limit": [{ limits: { pipeline: 1 } }, /limits\.pipeline/],
		"a limit below one": [{ limits: { pipelined: 0 } }, /limits\.pipelined/],
		"a limit that is no number": [{ limits: { inFlightBytes: "1" } }, /limits\.inFlightBytes/],
		"an unknown timeout": [{ timeouts: { answer: 1 } }, /timeouts\.answer/],
		"a timeout below zero": [{ timeouts: { idle: -1 } }, /timeouts\.idle/],
	};
	test.each(Object.keys(wrong))("%s", (name) => {
		const [options, message] = wrong[name] as (typeof wrong)[string];
		const make = () => new QmtpClient(options as ClientOptions);
		expect(make).toThrow(expect.objectContaining({ name: "UsageError", code: "ERR_QMTP_OPTION" }));
		expect(make).toThrow(message);
	});

	test("all may be left out, be undefined, or be endless", async () => {
		const endless = Number.POSITIVE_INFINITY;
		const clients = [
			new QmtpClient(),
			new QmtpClient({ limits: {}, timeouts: {} }),
			new QmtpClient({ limits: { pipelined: endless }, timeouts: { connect: endless, idle: endless } }),
		];
		for (const client of clients) await client.close();
	});
});

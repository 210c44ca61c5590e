/** amqp URLs, and that none of their errors tells a part of them. */
import { describe, expect, it } from "vitest";
import { UsageError } from "../../src/errors.js";
import { brokerAddresses, shownAddress } from "../../src/queue/rabbitmq/url.js";
import { rabbitmqQueue } from "../../src/queue/rabbitmq.js";

describe("an amqp URL", () => {
	it.each([
		["amqp://127.0.0.1", { secure: false, host: "127.0.0.1", port: 5672, user: "guest", password: "guest" }],
		["amqps://mq.example.org", { secure: true, host: "mq.example.org", port: 5671 }],
		["AMQP://mq.example.org:5673/", { secure: false, host: "mq.example.org", port: 5673, vhost: "/" }],
		["amqp://me@mq.example.org", { user: "me", password: "" }],
		["amqp://me:@mq.example.org", { user: "me", password: "" }],
		["amqp://me:p%40s%2Fs%3A@mq.example.org", { user: "me", password: "p@s/s:" }],
		["amqp://me:p@ss:word@mq.example.org", { user: "me", password: "p@ss:word", host: "mq.example.org" }],
		["amqp://m%3Ae:pw@mq.example.org/mail", { user: "m:e", password: "pw", vhost: "mail" }],
		["amqp://mq.example.org/%2F", { vhost: "/" }],
		["amqp://mq.example.org/a%2Fb%20c", { vhost: "a/b c" }],
		["amqp://[2001:db8::1]:5673", { host: "2001:db8::1", port: 5673 }],
		["amqp://[2001:db8::1]", { host: "2001:db8::1", port: 5672 }],
	])("%s is understood", (url, expected) => {
		const addresses = brokerAddresses(url);
		expect(addresses).toHaveLength(1);
		expect(addresses[0]).toMatchObject(expected);
	});

	it("may name several hosts, and there may be several URLs", () => {
		const addresses = brokerAddresses(["amqp://me:pw@a,b:5673,[::1]/mail", "amqps://c"]);
		expect(addresses.map(shownAddress)).toEqual([
			"amqp://me@a/mail",
			"amqp://me@b:5673/mail",
			"amqp://me@[::1]/mail",
			"amqps://guest@c/",
		]);
		expect(addresses[2]).toMatchObject({ password: "pw", port: 5672, vhost: "mail" });
	});

	it.each([
		"",
		"secret",
		"http://me:secret@mq.example.org",
		"amqp:me:secret@mq.example.org",
		"amqp://",
		"amqp://me:secret@",
		"amqp://me:secret@mq.example.org:0",
		"amqp://me:secret@mq.example.org:65536",
		"amqp://me:secret@mq.example.org:secret",
		"amqp://me:sec/ret@mq.example.org",
		"amqp://me:123/456secret@mq.example.org",
		"amqp://me:123/@secret",
		"amqp://me:sec%00ret@mq.example.org",
		"amqp://m%00e:secret@mq.example.org",
		"amqp://me:sec\ud800ret@mq.example.org",
		"amqp://me:secret@mq.example.org/\udc00",
		"amqp://me:sec#ret@mq.example.org",
		"amqp://me:sec%zzret@mq.example.org",
		"amqp://me:secret@mq.example.org/a/b",
		"amqp://me:secret@mq.example.org/%ff",
		"amqp://me:secret@mq.example.org?heartbeat=secret",
		"amqp://me:secret@mq.example.org/#secret",
		"amqp://me:secret@a,,b",
		"amqp://me:secret@a,secret b",
	])("%j is refused, and the error tells nothing of it", (url) => {
		const error = errorOf(() => brokerAddresses(url));
		expect(error).toBeInstanceOf(UsageError);
		expect(error).toMatchObject({ code: "ERR_QMTP_OPTION" });
		expect(`${(error as Error).stack}`).not.toMatch(/sec|ret@|mq\.example/);
	});

	it.each([[[]], [undefined], [[7]], [null], [["amqp://a", ""]]])("%j is none", (url) => {
		expect(() => brokerAddresses(url as never)).toThrow(UsageError);
		expect(() => rabbitmqQueue({ url: url as never })).toThrow(UsageError);
	});
});

function errorOf(run: () => unknown): unknown {
	try {
		run();
	} catch (error) {
		return error;
	}
	throw new Error("nothing was thrown");
}

/** What a session does as time goes by, on a clock that the test moves. */
import { describe, expect, test } from "vitest";
import { TestSession } from "../support/client-clock.js";
import { statuses, unanswered } from "../support/client-mail.js";
import { noUnhandledRejections } from "../support/client-rejections.js";
import { ScriptedServer } from "../support/client-server.js";
import { turns } from "../support/server-signal.js";

noUnhandledRejections();

const MINUTE = 60_000;
const silent = () => ScriptedServer.start(() => {});

describe("an owed answer", () => {
	test("may take just less than the response timeout, and each byte starts that anew", async () => {
		const talk = await TestSession.connect(await silent());
		const result = talk.push("hello");
		await talk.transmit();
		await talk.server.received();
		for (const [index, byte] of [..."3:Kok,"].entries()) {
			talk.timers.pass(20 * MINUTE - 1);
			talk.server.write(byte);
			await talk.clientHasRead(index + 1);
		}
		expect(statuses(await result)).toBe("K");
	});

	test("that takes longer is Z, and the connection is over", async () => {
		const talk = await TestSession.connect(await silent());
		const result = talk.push("hello");
		await talk.transmit();
		talk.timers.pass(20 * MINUTE);
		expect((await result).responses).toEqual([
			unanswered("ERR_QMTP_RESPONSE_TIMEOUT", true, "r@example.com"),
		]);
		await talk.session.ended;
		expect(talk.session.usable).toBe(false);
		await talk.server.gone();
	});

	test("is not due while the package before it was the last thing that happened", async () => {
		const talk = await TestSession.connect(await silent(), { timeouts: { idle: 100 * MINUTE } });
		const first = talk.push("first");
		await talk.transmit();
		await talk.server.received();
		talk.server.write("1:K,");
		expect(statuses(await first)).toBe("K");
		talk.timers.pass(40 * MINUTE);
		const second = talk.push("second");
		await talk.transmit();
		talk.timers.pass(19 * MINUTE);
		talk.server.write("1:K,");
		expect(statuses(await second)).toBe("K");
	});
});

describe("a connection with nothing to do", () => {
	test("is closed after the idle timeout, and not before", async () => {
		const talk = await TestSession.connect(await silent());
		const result = talk.push("hello");
		await talk.transmit();
		await talk.server.received();
		talk.server.write("1:K,");
		await result;
		talk.timers.pass(MINUTE - 1);
		expect(talk.session.usable).toBe(true);
		talk.timers.pass(1);
		expect(talk.session.usable).toBe(false);
		await talk.server.end();
		talk.server.socket.end();
		await talk.session.ended;
	});

	test("has its time from its own start, however long the client was without a connection before", async () => {
		const talk = await TestSession.connect(await silent());
		talk.timers.pass(1);
		expect(talk.session.usable).toBe(true);
	});

	test("is destroyed when the server does not close its side within five seconds", async () => {
		const talk = await TestSession.connect(await silent());
		talk.timers.pass(MINUTE);
		await talk.server.end();
		talk.timers.pass(4999);
		expect(talk.session.error).toBeNull();
		talk.timers.pass(1);
		expect(talk.session.error).toMatchObject({ code: "ERR_QMTP_CONNECTION_CLOSED" });
		await talk.session.ended;
	});
});

describe("the end of a session", () => {
	test("comes after fifty minutes: it finishes the package, and takes no further one", async () => {
		const talk = await TestSession.connect(await silent(), { timeouts: { idle: 100 * MINUTE } });
		talk.timers.pass(50 * MINUTE);
		const last = talk.push("last");
		await talk.transmit();
		await talk.server.received();
		expect(talk.session.usable).toBe(true);
		talk.timers.pass(1);
		const behind = talk.push("behind");
		talk.push("next connection");
		await talk.transmit();
		await talk.server.end();
		expect(talk.server.packages.map(({ body }) => body)).toEqual(["last", "behind"]);
		expect(talk.queue.clear()).toHaveLength(1);
		talk.server.socket.end("1:K,1:D,");
		expect([statuses(await last), statuses(await behind)]).toEqual(["K", "D"]);
		await talk.session.ended;
	});

	test("waits for answers as long as somebody does", async () => {
		const talk = await TestSession.connect(await silent());
		const result = talk.push("hello");
		await talk.transmit();
		talk.session.finish();
		talk.timers.pass(19 * MINUTE);
		expect(talk.session.error).toBeNull();
		talk.server.write("1:K,");
		expect(statuses(await result)).toBe("K");
	});

	test("waits five seconds for a server that does not read what nobody wants sent", async () => {
		const talk = await TestSession.connect(await silent());
		talk.server.socket.pause();
		const result = talk.push("x".repeat(16 * 1024 * 1024));
		const [package_] = talk.queue.clear();
		talk.queue.push([package_ as NonNullable<typeof package_>]);
		const transmitting = talk.transmit();
		await turns();
		package_?.outgoing.reject(new Error("given up"));
		talk.session.cancel(package_?.outgoing as NonNullable<typeof package_>["outgoing"]);
		await expect(result).rejects.toThrow("given up");
		expect(await transmitting).toBeNull();
		talk.timers.pass(4999);
		expect(talk.session.error).toBeNull();
		talk.timers.pass(1);
		expect(talk.session.error).not.toBeNull();
	});
});

/** A `Body` as a message: it is sent as it is, read as often as it allows, and stays the caller's. */
import { describe, expect, test } from "vitest";
import { type Body, bytesBody } from "../../src/body/body.js";
import type { SendOptions } from "../../src/client/client.js";
import { mail, statuses } from "../support/client-mail.js";
import { noUnhandledRejections } from "../support/client-rejections.js";
import { acceptingServer, ScriptedServer } from "../support/client-server.js";

noUnhandledRejections();

/** A body of these pieces, and how it was used. */
function counted(
	pieces: readonly string[],
	options: Partial<Body> = {},
): Body & { reads: number; closed: number } {
	const used = {
		length: pieces.join("").length,
		bytes: null,
		repeatable: true,
		reads: 0,
		closed: 0,
		async *chunks() {
			used.reads++;
			for (const piece of pieces) yield Buffer.from(piece, "latin1");
		},
		close: async () => {
			used.closed++;
		},
		...options,
	};
	return used;
}

async function sent(options: Partial<SendOptions>) {
	const server = await acceptingServer();
	expect(statuses(await server.client().send(mail(options)))).toBe("K");
	const [received] = server.connections[0]?.packages ?? [];
	return received;
}

describe("a body", () => {
	test("in memory, and one that is read, arrive, and are not closed", async () => {
		expect(await sent({ message: bytesBody(Buffer.from("a\nb\n")) })).toMatchObject({
			encoding: "lf",
			body: "a\nb\n",
		});
		for (const repeatable of [true, false]) {
			const body = counted(["a", "\nb", "\n"], { repeatable });
			expect(await sent({ message: body })).toMatchObject({ encoding: "lf", body: "a\nb\n" });
			expect(body).toMatchObject({ reads: 1, closed: 0 });
		}
	});

	test("has LF line ends unless it says otherwise: nobody looks at them", async () => {
		const body = () => counted(["a\r", "\nb\r\n"]);
		expect(await sent({ message: body() })).toMatchObject({ encoding: "lf", body: "a\r\nb\r\n" });
		expect(await sent({ message: body(), encoding: "crlf" })).toMatchObject({
			encoding: "lf",
			body: "a\nb\n",
		});
		const asIs = { message: body(), encoding: "crlf", transmit: "as-is" } as const;
		expect(await sent(asIs)).toMatchObject({ encoding: "crlf", body: "a\r\nb\r\n" });
	});

	test("may be an object of a class, whose properties are not its own", async () => {
		class Stored implements Body {
			get length() {
				return 2;
			}
			get bytes() {
				return null;
			}
			get repeatable() {
				return true;
			}
			async *chunks() {
				yield Buffer.from("a\n");
			}
			async close() {}
		}
		expect(await sent({ message: new Stored() })).toMatchObject({ body: "a\n" });
	});

	test("that can be read again is sent once more when the connection was lost inside it", async () => {
		const pieces = Array.from({ length: 100 }, () => "x".repeat(100_000));
		for (const repeatable of [true, false]) {
			const server = await ScriptedServer.start(async (connection) => {
				if (connection.number > 0) return connection.answerAll();
				await connection.receivedBytes(100_000);
				connection.socket.resetAndDestroy();
			});
			const body = counted(pieces, { repeatable });
			const result = await server.client().send(mail({ message: body }));
			expect(statuses(result)).toBe(repeatable ? "K" : "Z");
			expect(body).toMatchObject({ reads: repeatable ? 2 : 1, closed: 0 });
			if (!repeatable) expect(result.responses[0]).toMatchObject({ possiblyAccepted: false });
		}
	});

	test("that is not as long as it said, or cannot be read, is never a whole package", async () => {
		const failing = counted([], {
			length: 10,
			async *chunks() {
				yield Buffer.from("a\n");
				throw new Error("gone");
			},
		});
		for (const [body, code] of [
			[counted(["hello\n"], { length: 7 }), "ERR_QMTP_MESSAGE_SIZE"],
			[counted(["hello\n"], { length: 5 }), "ERR_QMTP_MESSAGE_SIZE"],
			[failing, "ERR_QMTP_MESSAGE_SOURCE"],
		] as const) {
			const server = await acceptingServer();
			await expect(server.client().send(mail({ message: body }))).rejects.toMatchObject({
				name: "UsageError",
				code,
			});
			await expect(server.connections[0]?.gone()).resolves.toBeUndefined();
			expect(server.bodies).toEqual([]);
		}
	});
});

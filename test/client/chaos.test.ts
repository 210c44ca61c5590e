/**
 * Any calls against a server whose connections end at any point. Whatever happens: each call settles, each K is one
 * that the server gave to just that recipient of that message, and no recipient has a message twice.
 */
import fc from "fast-check";
import { expect, onTestFinished, test } from "vitest";
import { QmtpClient, type SendOptions } from "../../src/client/client.js";
import type { QmtpError } from "../../src/errors.js";
import { bytesOf } from "../support/bytes.js";
import { recipients } from "../support/client-mail.js";
import { noUnhandledRejections } from "../support/client-rejections.js";
import {
	type ReceivedPackage,
	response,
	type ScriptedConnection,
	ScriptedServer,
} from "../support/client-server.js";
import { turns } from "../support/server-signal.js";

noUnhandledRejections();

/** What the server does with a connection. */
interface Plan {
	/** The server reads so many bytes before the end comes. */
	readonly bytes: number;
	readonly end: "answers all" | "end" | "destroy" | "reset" | "rubbish" | "answers, then ends";
	/** It answers in chunks of so many bytes, and turns the event loop so often in between. */
	readonly chunk: number;
	readonly pause: number;
}

/** What the client is asked to send. */
interface Call {
	readonly kind: "string" | "bytes" | "stream" | "sized stream" | "false size";
	readonly length: number;
	readonly recipients: number;
	/** The call is made and given up after so many turns of the event loop. */
	readonly delay: number;
	readonly abort: number | null;
}

const plan: fc.Arbitrary<Plan> = fc.record({
	bytes: fc.oneof(fc.constant(0), fc.integer({ max: 3000, min: 0 }), fc.integer({ min: 0, max: 3_000_000 })),
	end: fc.constantFrom("answers all", "end", "destroy", "reset", "rubbish", "answers, then ends"),
	chunk: fc.constantFrom(1, 7, 100, 100_000),
	pause: fc.constantFrom(0, 0, 1, 3),
});

const call: fc.Arbitrary<Call> = fc.record({
	kind: fc.constantFrom("string", "bytes", "stream", "sized stream", "false size"),
	length: fc.oneof(
		{ weight: 6, arbitrary: fc.integer({ min: 0, max: 200 }) },
		{ weight: 2, arbitrary: fc.integer({ min: 10_000, max: 100_000 }) },
		{ weight: 1, arbitrary: fc.integer({ min: 250_000, max: 3_000_000 }) },
	),
	recipients: fc.constantFrom(1, 1, 1, 2, 5),
	delay: fc.constantFrom(0, 0, 0, 1, 5),
	abort: fc.oneof({ weight: 4, arbitrary: fc.constant(null) }, fc.integer({ min: 0, max: 12 })),
});

const options = fc.record({
	maxRecipientsPerPackage: fc.constantFrom(1, 2, Number.POSITIVE_INFINITY),
	limits: fc.record({ pipelined: fc.constantFrom(1, 3, 1000) }),
});

test("nothing is lost, given wrongly, or sent twice", { timeout: 120_000 }, async () => {
	const scenario = fc.asyncProperty(
		fc.array(plan, { maxLength: 6 }),
		fc.array(call, { minLength: 1, maxLength: 25 }),
		options,
		run,
	);
	await fc.assert(scenario, {
		numRuns: Number(FUZZ_RUNS ?? 60),
		interruptAfterTimeLimit: 100_000,
	});
});

async function run(plans: Plan[], calls: Call[], options: object): Promise<void> {
	const given: string[] = [];
	const server = await ScriptedServer.start((connection) =>
		play(connection, plans[connection.number], given),
	);
	const client = new QmtpClient({ port: server.port, ...options });
	onTestFinished(() => client.destroy());
	const outcomes = await Promise.all(calls.map((call, number) => make(client, call, number)));
	await client.close();

	const taken = server.connections.flatMap(({ packages }) => packages.flatMap(ids));
	expect(new Set(taken).size, "a recipient has a message twice").toBe(taken.length);
	const claimed = outcomes.flat();
	for (const id of claimed) expect(given, "a K that was not given").toContain(id);
	expect(new Set(claimed).size).toBe(claimed.length);
	await server.stop();
}

/** Sends one message. @returns What was accepted of it. */
async function make(client: QmtpClient, call: Call, number: number): Promise<string[]> {
	await turns(call.delay);
	const controller = new AbortController();
	const aborting = call.abort === null ? null : turns(call.abort).then(() => controller.abort("given up"));
	const options: SendOptions = {
		sender: "s@example.org",
		recipients: recipients(call.recipients),
		...messageOf(call, number),
	};
	try {
		const { responses } = await client.send(options, controller);
		expect(responses).toHaveLength(call.recipients);
		expect(call.kind === "false size" && responses.some(({ status }) => status === "K")).toBe(false);
		for (const { error, possiblyAccepted } of responses) {
			expect(error === undefined).toBe(possiblyAccepted === undefined);
		}
		return responses.filter(({ status }) => status === "K").map(({ description }) => description);
	} catch (error) {
		// A reset may come before the client knows that it has a connection.
		const expected = ["ERR_QMTP_MESSAGE_SIZE", "ERR_QMTP_CONNECT"];
		if (error !== "given up") expect(expected).toContain((error as QmtpError).code);
		return [];
	} finally {
		await aborting;
	}
}

function messageOf(
	{ kind, length }: Call,
	number: number,
): Pick<SendOptions, "message"> & Partial<SendOptions> {
	const text = `${number}\n${"x".repeat(length)}`;
	async function* stream() {
		for (let at = 0; at < text.length; at += 50_000) {
			yield Buffer.from(text.slice(at, at + 50_000));
			await turns(1);
		}
	}
	switch (kind) {
		case "string":
			return { message: text };
		case "bytes":
			return { message: Buffer.from(text) };
		case "stream":
			return { message: stream() };
		case "sized stream":
			return { message: stream(), size: text.length };
		case "false size":
			return { message: stream(), size: text.length + (length % 2 === 0 ? 1 : -1) };
	}
}

/** A K that says for what it is, to every third a D. What is given is noted when its last byte is written. */
async function play(connection: ScriptedConnection, plan: Plan | undefined, given: string[]): Promise<void> {
	const { bytes, end, chunk, pause } = plan ?? LAST;
	const gone = () => connection.ended || connection.closed;
	for (let answered = 0; !gone(); ) {
		await connection.changes.until(
			() => connection.packages.length > answered || connection.bytes >= bytes || gone(),
		);
		if (end !== "answers all" && connection.bytes >= bytes) break;
		if (connection.packages.length === answered) {
			if (!gone()) await new Promise((resolve) => setImmediate(resolve));
			continue;
		}
		await answer(connection, connection.packages[answered++] as ReceivedPackage, { chunk, pause }, given);
	}
	if (connection.closed) return;
	const { socket } = connection;
	if (end === "reset") socket.resetAndDestroy();
	else if (end === "destroy") socket.destroy();
	else if (end === "rubbish" && !connection.ended) connection.write("rubbish");
	else socket.end();
}

async function answer(
	connection: ScriptedConnection,
	package_: ReceivedPackage,
	{ chunk, pause }: Pick<Plan, "chunk" | "pause">,
	given: string[],
): Promise<void> {
	for (const [index, id] of ids(package_).entries()) {
		const accepted = (package_.body.length + index) % 3 !== 0;
		const text = bytesOf(response((accepted ? "K" : "D") + id));
		if (accepted) given.push(id);
		for (let at = 0; at < text.length; at += chunk) {
			if (connection.closed) return;
			connection.socket.write(text.subarray(at, at + chunk));
			await turns(pause);
		}
	}
}

function ids({ body, recipients }: ReceivedPackage): string[] {
	return recipients.map((recipient) => `${body.slice(0, body.indexOf("\n"))} ${recipient}`);
}

const { FUZZ_RUNS } = process.env;
const LAST: Plan = { bytes: 0, end: "answers all", chunk: 100_000, pause: 0 };

/** A client's and a server's connection back to back, over a link that cuts its bytes into chunks of one size. */
import { describe, expect, test } from "vitest";
import { ClientConnection, type PackageResponses } from "../../src/protocol/client-connection.js";
import { encodePackage } from "../../src/protocol/package-encoder.js";
import {
	accepted,
	deferred,
	encodeResponses,
	type QmtpResponse,
	rejected,
} from "../../src/protocol/response.js";
import { ServerConnection } from "../../src/protocol/server-connection.js";
import { bytesOf, concat, textOf } from "../support/bytes.js";

const PACKAGES = 1000;

describe.each([1, 7, 4096])("over a link of %d bytes a chunk", (size) => {
	test("1,000 pipelined packages, answered in any order, get their responses in order", () => {
		const client = new ClientConnection();
		const server = new ServerConnection();
		const [toServer, toClient] = [new Link(size), new Link(size)];
		for (let number = 0; number < PACKAGES; number++) {
			toServer.write(encoded(number));
			expect(client.sent(number % 4)).toBe(number);
		}

		const results: PackageResponses[] = [];
		const commits: { number: number; responses: QmtpResponse[] }[] = [];
		let responses: QmtpResponse[] = [];
		let body = "";
		let outstanding = 0;
		const commit = (index: number) => {
			const [{ number, responses }] = commits.splice(index, 1) as [(typeof commits)[number]];
			server.respond(number, responses);
			const bytes = encodeResponses(server.transmit());
			if (bytes.length > 0) toClient.write(bytes);
		};
		const receiveResponses = () => {
			toClient.readAll((chunk) => {
				client.receive(chunk);
				for (let result = client.next(); result !== null; result = client.next()) results.push(result);
			});
		};

		toServer.readAll((chunk) => {
			server.receive(chunk);
			for (let event = server.next(); event !== null; event = server.next()) {
				switch (event.type) {
					case "message":
						expect(event.encoding).toBe(event.number % 2 === 0 ? "lf" : "crlf");
						[responses, body] = [[], ""];
						break;
					case "body":
						body += textOf(event.bytes);
						break;
					case "recipient":
						responses.push(response(event.number, textOf(event.address as Uint8Array)));
						break;
					case "end":
						expect(body).toBe(`body ${event.number}\r\n`);
						commits.push({ number: event.number, responses });
						outstanding = Math.max(outstanding, server.pending);
						break;
				}
			}
			// The newest first, so that the oldest waits longest.
			if (commits.length >= 50) {
				while (commits.length > 0) commit(commits.length % 3 === 0 ? 0 : commits.length - 1);
				receiveResponses();
			}
		});
		while (commits.length > 0) commit(commits.length - 1);
		server.receiveEnd();
		expect(server.next()).toEqual({ type: "close", clean: true });
		expect(server.pending).toBe(0);
		receiveResponses();

		expect(outstanding).toBeGreaterThanOrEqual(50);
		expect(results.map(({ number }) => number)).toEqual(
			Array.from({ length: PACKAGES }, (_, number) => number),
		);
		for (const { number, responses } of results) {
			expect(responses).toEqual(recipients(number).map((recipient) => response(number, recipient)));
		}
		client.receiveEnd();
		expect(client.unanswered()).toEqual([]);
	});

	test("a server that goes away in the midst of its answers leaves the rest unanswered", () => {
		const client = new ClientConnection();
		const toClient = new Link(size);
		for (let number = 0; number < 10; number++) client.sent(2);
		const all = Array.from({ length: 20 }, (_, index) => accepted(String(index)));
		toClient.write(encodeResponses(all).subarray(0, -2)); // the last response and its comma are cut
		const results: PackageResponses[] = [];
		toClient.readAll((chunk) => {
			client.receive(chunk);
			for (let result = client.next(); result !== null; result = client.next()) results.push(result);
		});
		client.receiveEnd();
		expect(results).toHaveLength(9);
		expect(client.unanswered()).toMatchObject([{ number: 9, responses: [accepted("18")] }]);
	});

	test("a client that goes away in the midst of a package is answered for those before it", () => {
		const server = new ServerConnection();
		const toServer = new Link(size);
		toServer.write(encoded(1));
		toServer.write(encoded(2).subarray(0, -1));
		const ends: number[] = [];
		toServer.readAll((chunk) => {
			server.receive(chunk);
			for (let event = server.next(); event !== null; event = server.next()) {
				if (event.type === "end") ends.push(event.number);
			}
		});
		server.receiveEnd();
		expect(server.next()).toEqual({ type: "close", clean: false });
		expect(ends).toEqual([0]);
		server.respond(0, [accepted()]);
		expect(server.transmit()).toEqual([accepted()]);
	});
});

/** A pipe that gives out what was written in chunks of one size, and overwrites each one when it was read. */
class Link {
	readonly #size: number;
	#waiting: Uint8Array[] = [];

	constructor(size: number) {
		this.#size = size;
	}

	write(bytes: Uint8Array): void {
		this.#waiting.push(bytes);
	}

	readAll(receive: (chunk: Uint8Array) => void): void {
		const bytes = concat(this.#waiting);
		this.#waiting = [];
		for (let start = 0; start < bytes.length; start += this.#size) {
			const chunk = bytes.subarray(start, start + this.#size);
			receive(chunk);
			chunk.fill(0xff);
		}
	}
}

function encoded(number: number): Uint8Array {
	const body = bytesOf(`body ${number}\r\n`);
	const envelope = { sender: `sender-${number}@example.org`, recipients: recipients(number) };
	const encoding = number % 2 === 0 ? "lf" : "crlf";
	const { head, tail } = encodePackage(envelope, { encoding, length: body.length });
	return concat([head, body, tail]);
}

function recipients(number: number): string[] {
	return Array.from({ length: number % 4 }, (_, index) => `r${index}@${number}.example.org`);
}

function response(number: number, recipient: string): QmtpResponse {
	const make = [accepted, deferred, rejected][(number + recipient.length) % 3] as typeof accepted;
	return make(`${number}: ${recipient} – ça va`);
}

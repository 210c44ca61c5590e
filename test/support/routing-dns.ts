/** A name server of tests: it answers over UDP, as a function says, and counts what it was asked. */
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { onTestFinished } from "vitest";

/** The types of records that are asked for. */
export const A = 1;
export const MX = 15;
export const AAAA = 28;

/** What to say: the code of a failure, or the data of records, or nothing at all. */
export type DnsAnswer = { readonly rcode: number } | readonly Uint8Array[] | "silence";

/** A server that was started. */
export interface DnsServer {
	/** As in the option `servers`. */
	readonly server: string;
	/** Each question, such as "15 example.com". */
	readonly questions: readonly string[];
}

/** Starts a server, and stops it when the test has ended. */
export async function startDns(answer: (name: string, type: number) => DnsAnswer): Promise<DnsServer> {
	const socket = createSocket("udp4");
	const questions: string[] = [];
	socket.on("message", (query, { port, address }) => {
		const { name, type, end } = question(query);
		questions.push(`${type} ${name}`);
		const answered = answer(name, type);
		if (answered !== "silence") socket.send(response(query.subarray(0, end), type, answered), port, address);
	});
	socket.bind(0, "127.0.0.1");
	await once(socket, "listening");
	onTestFinished(() => {
		socket.close();
	});
	return { server: `127.0.0.1:${socket.address().port}`, questions };
}

/** The data of an MX record. */
export function mxData(preference: number, exchange: string): Uint8Array {
	const labels = exchange === "" ? [] : exchange.split(".");
	const name = labels.flatMap((label) => [Buffer.from([label.length]), Buffer.from(label, "latin1")]);
	return Buffer.concat([Buffer.from([preference >> 8, preference & 0xff]), ...name, Buffer.alloc(1)]);
}

/** The data of an A record. */
export function aData(address: string): Uint8Array {
	return Uint8Array.from(address.split("."), Number);
}

/** The data of an AAAA record for 2001:db8::LAST. */
export function aaaaData(last: number): Uint8Array {
	return Uint8Array.of(0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last);
}

function question(query: Buffer): { name: string; type: number; end: number } {
	const labels: string[] = [];
	let offset = HEADER;
	while (query[offset] !== 0) {
		const length = query[offset] as number;
		labels.push(query.toString("latin1", offset + 1, offset + 1 + length));
		offset += 1 + length;
	}
	return { name: labels.join("."), type: query.readUInt16BE(offset + 1), end: offset + 5 };
}

function response(query: Buffer, type: number, answer: Exclude<DnsAnswer, "silence">): Buffer {
	const records = "rcode" in answer ? [] : answer;
	const rcode = "rcode" in answer ? answer.rcode : 0;
	const head = Buffer.from(query); // a copy, for the id and the question
	head.writeUInt16BE(0x8180 | rcode, 2); // a response, recursion desired and available
	head.writeUInt16BE(1, 4);
	head.writeUInt16BE(records.length, 6);
	head.writeUInt32BE(0, 8);
	const encoded = records.flatMap((data) => {
		const record = Buffer.from([0xc0, HEADER, 0, type, 0, 1, 0, 0, 0, 60, 0, data.length]);
		return [record, data];
	});
	return Buffer.concat([head, ...encoded]);
}

const HEADER = 12; // bytes

/** Responses as a client reads them: the decoder, and which package each belongs to. */
import fc from "fast-check";
import { ProtocolError } from "../../../src/errors.js";
import { ClientConnection } from "../../../src/protocol/client-connection.js";
import { decodeResponses, type Failure } from "../../support/decoding.js";
import { responsesOf } from "../oracles.js";
import { responses, streamsOf } from "../streams.js";
import { chunksOf, type Stream, same, surface } from "../surface.js";

/** The decoder. */
export const decoder = surface(
	"responses",
	600,
	fc.record({ stream: streamsOf(responses), maxLength: fc.constantFrom(1, 5, 9, 65536) }),
	({ stream, maxLength }: { stream: Stream; maxLength: number }) => {
		same(decodeResponses(chunksOf(stream), { maxLength }), responsesOf(stream.text, maxLength));
	},
);

/** Packages of so many recipients each were sent before the first byte came. */
export const connection = surface(
	"client",
	500,
	fc.record({ stream: streamsOf(responses), packages: fc.array(fc.nat(3), { maxLength: 5 }) }),
	({ stream, packages }: { stream: Stream; packages: readonly number[] }) => {
		const client = new ClientConnection();
		for (const recipients of packages) client.sent(recipients);
		const results: Answered[] = [];
		const take = (number: number, all: readonly { status: string; description: string }[]) =>
			results.push({ number, responses: all.map(({ status, description }) => status + description) });
		let error: Failure | null = null;
		try {
			for (const chunk of chunksOf(stream)) {
				client.receive(chunk);
				for (let next = client.next(); next !== null; next = client.next()) take(next.number, next.responses);
				chunk.fill(0xff);
			}
		} catch (thrown) {
			if (!(thrown instanceof ProtocolError)) throw thrown;
			error = { code: thrown.code, offset: thrown.offset };
		}
		for (const { number, responses } of client.unanswered()) take(number, responses);
		same({ results, error }, expected(stream.text, packages));
	},
);

interface Answered {
	readonly number: number;
	readonly responses: string[];
}

function expected(text: string, packages: readonly number[]): { results: Answered[]; error: Failure | null } {
	const { items, error } = responsesOf(text);
	const results: Answered[] = packages.map((_, number) => ({ number, responses: [] }));
	let start = 0;
	for (const item of items) {
		const space = item.lastIndexOf(" ");
		const open = results.find(({ number, responses }) => responses.length < (packages[number] as number));
		if (open === undefined)
			return { results, error: { code: "ERR_QMTP_RESPONSE_UNEXPECTED", offset: start } };
		open.responses.push(item.slice(0, space));
		start = Number(item.slice(space + 1));
	}
	return { results, error };
}

/**
 * Inputs recorded at qmail-qmtpd, through a whole session: in memory and over Web Streams, at once and byte by byte.
 * What qmail reads from control files and the environment comes from hooks here.
 */
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { ProtocolError } from "../../src/errors.js";
import { acceptAnyone, recipientDomains, type ServerHooks } from "../../src/server/hooks.js";
import { bytesOf, netstring } from "../support/bytes.js";
import { parsePackages } from "../support/oracle.js";
import { Bench } from "../support/server-bench.js";
import type { TestClient } from "../support/server-client.js";
import { webPair } from "../support/server-streams.js";

interface Vector {
	readonly name: string;
	readonly env: { readonly RELAYCLIENT?: string; readonly DATABYTES?: string };
	readonly control: { readonly rcpthosts?: string[] | null; readonly databytes?: string };
	readonly input: string;
	readonly expect: {
		readonly output: string;
		readonly exit: 0 | 100 | 111;
		readonly queued?: readonly Queued[];
	};
}

interface Queued {
	readonly sender: string;
	readonly recipients: readonly string[];
	readonly body: string;
}

const fixture = new URL("../fixtures/qmtpd.json", import.meta.url);
const vectors = JSON.parse(readFileSync(fixture, "utf8")) as readonly Vector[];

const ways: Record<string, (bench: Bench) => TestClient> = {
	"a Duplex": (bench) => bench.talk(),
	"Web Streams": (bench) => {
		const [pair, client] = webPair();
		bench.serve(pair);
		return bench.client(client);
	},
};

test("all recorded inputs are there", () => {
	expect(vectors).toHaveLength(76);
});

describe.each(Object.keys(ways))("over %s", (way) => {
	describe.each(vectors)("$name", (vector) => {
		test("at once", () => replay(vector, way, vector.input.length));
		test("byte by byte", () => replay(vector, way, 1));
	});
});

async function replay(vector: Vector, way: string, size: number): Promise<void> {
	const bench = new Bench({ addressEncoding: "latin1", hooks: hooksOf(vector) });
	const client = (ways[way] as (bench: Bench) => TestClient)(bench);
	const bytes = bytesOf(vector.input);
	for (let from = 0; from < bytes.length; from += size)
		client.duplex.write(bytes.subarray(from, from + size));
	client.end();
	const responses = await client.all();
	const { error } = await bench.disconnected();

	expect(responses.map(plain).join("")).toBe(vector.expect.output);
	expect(queued(bench)).toEqual(vector.expect.queued ?? []);
	if (vector.expect.exit === 0) {
		const cut = parsePackages(vector.input).end === "cut";
		expect(error).toEqual(cut ? expect.objectContaining({ code: "ERR_QMTP_CONNECTION_CLOSED" }) : undefined);
	} else {
		expect(error).toBeInstanceOf(ProtocolError);
		const tooLong = (error as ProtocolError).code === "ERR_NETSTRING_TOO_LONG";
		expect(tooLong ? 111 : 100).toBe(vector.expect.exit);
	}
	for (const delivery of bench.queue.deliveries) {
		expect(delivery.aborts).toHaveLength(delivery.envelope === null ? 1 : 0);
	}
}

function hooksOf({ control, env }: Vector): ServerHooks {
	const { rcpthosts } = control;
	const databytes = env.DATABYTES ?? control.databytes;
	return {
		authorize: () => ({
			...(env.RELAYCLIENT === undefined ? {} : { relay: true, suffix: env.RELAYCLIENT }),
			...(databytes === undefined ? {} : { messageBytes: Number.parseInt(databytes, 10) || Infinity }),
		}),
		recipient: rcpthosts ? recipientDomains(rcpthosts) : acceptAnyone,
	};
}

/** In the fixture `<K>,` stands for each K. */
function plain(response: string): string {
	return response.startsWith("K") ? "<K>," : netstring(response);
}

function queued({ queue }: Bench): Queued[] {
	return queue.commits.map(({ envelope, text }) => {
		return { sender: envelope?.sender ?? "", recipients: envelope?.recipients ?? [], body: text };
	});
}

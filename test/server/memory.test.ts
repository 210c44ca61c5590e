/** What a long session keeps of the packages that it has answered: nothing. */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { expect, onTestFinished, test } from "vitest";
import { accepted } from "../../src/protocol/response.js";
import { acceptAnyone } from "../../src/server/hooks.js";
import { QmtpServer } from "../../src/server/server.js";
import { PEER } from "../support/server-bench.js";
import { mail, TestClient } from "../support/server-client.js";
import { turns } from "../support/server-signal.js";
import { duplexPair } from "../support/server-streams.js";

setFlagsFromString("--expose-gc");
const collectGarbage = runInNewContext("gc") as () => void;

test.each([
	["takes", 0],
	["refuses", 1],
	["puts off", 2],
])("packages that the queue %s are let go when they are answered", async (_, how) => {
	const known: WeakRef<object>[] = [];
	const server = new QmtpServer({
		hooks: {
			recipient: acceptAnyone,
			sender: () => (how === 1 ? { status: "D", description: "no" } : undefined),
		},
		queue: {
			open: (info) => {
				known.push(new WeakRef(info));
				return {
					write: () => {},
					commit: async () => (how === 2 ? Promise.reject(new Error("later")) : [accepted()]),
					abort: async () => {},
				};
			},
		},
	});
	server.on("fault", () => {});
	const [ours, theirs] = duplexPair();
	server.serve(ours, PEER);
	onTestFinished(() => server.destroy());
	const client = new TestClient(theirs);
	for (let sent = 0; sent < 200; sent += 20) {
		client.send(mail().repeat(20));
		await client.receives(sent + 20);
	}
	await turns();
	collectGarbage();
	expect(known).toHaveLength(200);
	expect(known.filter((ref) => ref.deref() !== undefined).length, "still known").toBeLessThan(5);
});

import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { expect, onTestFinished, test } from "vitest";
import { Relay } from "../../src/relay/relay.js";
import { startProcess } from "../support/processes.js";
import { TestSpool } from "../support/queue-spool.js";
import { putInto, startHop } from "../support/relay-mail.js";
import { Gate } from "../support/server-signal.js";

const CHILD = fileURLToPath(new URL("../support/relay-child.mjs", import.meta.url));

test("a relay that is killed between a K and its settle sends that message again, and no other", async () => {
	const folder = await TestSpool.create();
	onTestFinished(() => folder.remove());
	const hop = await startHop();
	const spool = folder.queue({ lease: 500 });
	const ids: string[] = [];
	for (let number = 0; number < 20; number++) {
		ids.push(await putInto(spool, { body: `Subject: ${number}\n\n` }));
	}
	const child = startProcess(process.execPath, [CHILD, folder.path, hop.url, ids[7] as string]);
	await child.until(/unsettled/);
	await child.until(/(?:settled \d+\s+(?:unsettled\s+)?){19}/);
	const exited = once(child.child, "exit");
	process.kill(child.child.pid as number, "SIGKILL");
	await exited;
	expect(hop.queue.messages).toHaveLength(20);
	expect((await spool.stats()).messages).toBe(1);

	const relay = new Relay({ source: spool, to: hop.url });
	const delivered = new Gate<string>();
	relay.on("delivered", ({ id }) => delivered.open(id));
	await relay.start();
	expect(await delivered.promise).toBe(ids[7]);
	await relay.close();
	const subjects = hop.queue.messages.map(
		({ body }) => /Subject: (\d+)/.exec(Buffer.from(body).toString())?.[1],
	);
	expect(subjects).toHaveLength(21);
	expect(subjects.filter((subject) => subject === "7")).toHaveLength(2);
	expect(new Set(subjects).size).toBe(20);
	expect((await spool.stats()).messages).toBe(0);
});

import { maildirQueue, maildirSource } from "../../src/queue/maildir.js";
import { TestMaildir } from "../support/queue-maildir.js";
import { TestSpool } from "../support/queue-spool.js";
import { sourceContract } from "../support/source-contract.js";

sourceContract("maildirSource", async (now) => {
	const maildir = await TestMaildir.create();
	const queue = maildirQueue({ path: maildir.path });
	await queue.prepare();
	const source = maildirSource({ path: maildir.path, poll: 5, now });
	return {
		...{ source, queue },
		count: async () => (await maildir.names("new")).length,
		dispose: async () => {
			await source.close();
			await queue.close();
			await maildir.remove();
		},
	};
});

sourceContract("spoolQueue", async (now) => {
	const spool = await TestSpool.create();
	const queue = spool.queue({ now });
	return {
		...{ source: queue, queue },
		count: async () => (await queue.stats()).messages,
		dispose: () => spool.remove(),
	};
});

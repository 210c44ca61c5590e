import { queueContract } from "../support/queue-contract.js";
import { TestSpool } from "../support/queue-spool.js";

queueContract("spoolQueue", async () => {
	const spool = await TestSpool.create();
	const queue = spool.queue();
	// Its own queue is closed when the contract looks for the last time.
	return {
		queue,
		stored: () => spool.stored(),
		leftOvers: () => spool.leftOvers(),
		dispose: () => spool.remove(),
	};
});

/**
 * A process that takes messages out of a spool, from dist. Arguments: the spool, the lease in ms, and how many of the jobs
 * it settles with K; the others it keeps until it is killed. It says what it did, a line each.
 */
import { spoolQueue } from "../../dist/queue/spool.js";

const [path, lease, settled] = process.argv.slice(2);
const queue = spoolQueue({ path, minFree: 0, lease: Number(lease), poll: 20 });
let left = Number(settled);
for await (const job of queue.take({ concurrency: 10 })) {
	console.log(`took ${job.id} attempts=${job.attempts}`);
	if (left-- <= 0) continue;
	await job.settle(job.envelope.recipients.map(() => ({ status: "K", description: "" })));
	console.log(`settled ${job.id}`);
}

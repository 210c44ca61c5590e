/**
 * A process that stores messages in a spool and settles others in the same transaction, from dist. The argument is the
 * spool. It takes two of four messages, and then, at each SIGUSR2, says in one line what came of two new ones and of the
 * settlement of those two.
 */
import { spoolQueue } from "../../dist/queue/spool.js";

const PEER = { remoteAddress: "127.0.0.1", remotePort: 1, localAddress: "127.0.0.1", localPort: 2 };
const ENVELOPE = { sender: "sender@example.org", recipients: ["recipient@example.com"] };
let id = 1000;

const queue = spoolQueue({ path: process.argv[2], minFree: 0 });
for (let stored = 0; stored < 4; stored++) await store();
const jobs = [];
for await (const job of queue.take()) if (jobs.push(job) === 2) break;
const round = async () => {
	const ends = await Promise.allSettled([store(), settle(jobs[0]), store(), settle(jobs[1])]);
	console.log(ends.map(({ status }) => (status === "fulfilled" ? "done" : "failed")).join(" "));
};
process.on("SIGUSR2", round);
setInterval(() => {}, 60_000); // until it is killed
console.log("ready");

async function store() {
	const access = {};
	const info = { id: String(id++), peer: PEER, access, encoding: "lf", length: 5, received: 0, exact: true };
	const delivery = await queue.open({ ...info, addressEncoding: "utf-8" });
	await delivery.write(Buffer.from("x\ny\nz"));
	await delivery.commit(ENVELOPE);
}

function settle(job) {
	return job.settle([{ status: "K", description: "" }]);
}

/** The server of the overload benchmark; its argument is how many connections it takes. All other limits are defaults. */
import { readFileSync } from "node:fs";
import { acceptAnyone, QmtpServer } from "qmtp";
import { answerParent } from "../child.js";
import { SlowQueue } from "./slow-queue.js";

const [connections = "61"] = process.argv.slice(2);
const queue = new SlowQueue();
const server = new QmtpServer({
	queue,
	hooks: { recipient: acceptAnyone },
	limits: { connections: Number(connections) },
});
const { port } = await server.listen({ port: 0, host: "127.0.0.1" });
const start = process.memoryUsage.rss();
let held = 0;
setInterval(() => {
	held = Math.max(held, server.stats().heldBytes);
}, 5).unref();

answerParent({ port: () => port, memory: () => ({ start, held, peak: peak(), taken: queue.written }) });

/** The most that this process ever had in memory, in bytes. Source: proc_pid_status(5). */
function peak(): number {
	const kilobytes = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1];
	if (kilobytes === undefined) throw new Error("/proc/self/status has no VmHWM: this needs Linux");
	return Number(kilobytes) * 1024;
}

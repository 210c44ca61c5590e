/** A process with a spool open. Arguments: its directory, and how many messages `fill` puts in. */
import { readFileSync, rmSync } from "node:fs";
import type { MessageInfo } from "qmtp";
import { type SpoolQueue, spoolQueue } from "qmtp/queue/spool";
import { answerParent } from "../child.js";
import { messageBody } from "../fixtures/packages.js";

const BODY = messageBody(1024);
const AT_ONCE = 1000;
const MEASURED = 50_000;

const [path = "", messages] = process.argv.slice(2);
const envelope = { sender: "sender@example.org", recipients: ["recipient@example.com"] };
const info: Omit<MessageInfo, "id"> = {
	peer: { remoteAddress: "127.0.0.1", remotePort: 0, localAddress: "127.0.0.1", localPort: 0 },
	access: {},
	encoding: "lf",
	length: BODY.length,
	exact: true,
	addressEncoding: "utf-8",
};
const before = anonymousBytes();
let queue = spoolQueue({ path });
const start = Date.now();
let number = 10_000_000;

answerParent({
	async open() {
		const started = performance.now();
		await queue.prepare();
		const seconds = (performance.now() - started) / 1000;
		const { messages: count } = await queue.stats();
		return { seconds, growth: anonymousBytes() - before, messages: count };
	},
	async fill() {
		await store(queue, Number(messages));
		return true;
	},
	async rate() {
		const started = performance.now();
		await store(queue, MEASURED);
		return MEASURED / ((performance.now() - started) / 1000);
	},
	growth() {
		globalThis.gc?.();
		return anonymousBytes() - before;
	},
	/** Empties it. */
	async renew() {
		await queue.close();
		rmSync(path, { recursive: true });
		queue = spoolQueue({ path });
		await queue.prepare();
		return true;
	},
});

async function store(into: SpoolQueue, count: number): Promise<void> {
	let left = count;
	const work = async () => {
		while (left-- > 0) {
			const delivery = await into.open({ ...info, id: `${start}${number++}` });
			await delivery.write(BODY);
			const [response] = await delivery.commit(envelope);
			if (response?.status !== "K") throw new Error(`the answer is no K: ${JSON.stringify(response)}`);
		}
	};
	await Promise.all(Array.from({ length: AT_ONCE }, work));
}

function anonymousBytes(): number {
	globalThis.gc?.();
	const [, kibibytes] = /^RssAnon:\s+(\d+) kB$/m.exec(readFileSync("/proc/self/status", "utf8")) ?? [];
	return Number(kibibytes) * 1024;
}

/** Queues of RabbitMQ with names of their own, what is in them, and a line to the broker that can be cut. */
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import amqp, { type ChannelModel, type ConsumeMessage, type GetMessage, type Options } from "amqplib";
import { afterAll, afterEach, beforeAll, beforeEach } from "vitest";
import { type TopologyNames, topologyNames } from "../../src/queue/rabbitmq/topology.js";
import { type RabbitmqQueue, type RabbitmqQueueOptions, rabbitmqQueue } from "../../src/queue/rabbitmq.js";
import type { Job } from "../../src/queue/source.js";
import { bytesOf } from "./bytes.js";
import { deliver } from "./queue-contract.js";
import { messageInfo } from "./queue-message-info.js";
import { readAll } from "./queue-spool.js";
import { type Broker, startBroker } from "./rabbitmq.js";
import { Signal } from "./server-signal.js";

/** How long messages wait in the queues of tests, in ms. */
export const TTLS: readonly number[] = [200, 3_600_000];

/** A mail queue of a test, and what is told of it. */
export class TestRabbit {
	readonly name: string = `test-${randomUUID()}`;
	readonly names: TopologyNames = topologyNames(this.name, TTLS);
	readonly url: string;
	readonly faults: Error[] = [];
	readonly changes: Signal = new Signal();
	readonly #ends: (() => Promise<unknown>)[] = [];
	#model: ChannelModel | null = null;

	constructor(url: string) {
		this.url = url;
	}

	/** A queue over it. */
	queue(options: Partial<RabbitmqQueueOptions> = {}): RabbitmqQueue {
		const onFault = (error: Error) => this.#fault(error);
		const queue = rabbitmqQueue({
			...{ url: this.url, queue: this.name, retryTtls: TTLS, pauses: [10, 100], onFault },
			...options,
		});
		this.#ends.push(() => queue.close());
		return queue;
	}

	/** Calls `work` with a channel past our own code. */
	async channel<T>(
		work: (channel: Awaited<ReturnType<ChannelModel["createChannel"]>>) => Promise<T>,
	): Promise<T> {
		this.#model ??= await amqp.connect(this.url);
		const channel = await this.#model.createChannel();
		try {
			return await work(channel);
		} finally {
			await channel.close();
		}
	}

	/** Puts anything into the main queue. */
	async publish(body: Buffer, options: Options.Publish = {}): Promise<void> {
		this.#model ??= await amqp.connect(this.url);
		const channel = await this.#model.createConfirmChannel();
		channel.publish("", this.name, body, { persistent: true, mandatory: true, ...options });
		await channel.waitForConfirms();
		await channel.close();
	}

	/** How many messages are in a queue that nobody has. */
	async ready(queue: string): Promise<number> {
		return await this.channel(async (channel) => (await channel.checkQueue(queue)).messageCount);
	}

	/** How many messages are in all of them that nobody has. */
	async total(): Promise<number> {
		let count = 0;
		const { main, parked, retries } = this.names;
		for (const name of [main, parked, ...retries.map(({ name }) => name)]) count += await this.ready(name);
		return count;
	}

	/** Takes the next message out of a queue, when there is one. */
	async next(queue: string): Promise<GetMessage> {
		return await this.channel(async (channel) => {
			for (;;) {
				const message = await channel.get(queue);
				if (message === false) continue;
				channel.ack(message);
				return message;
			}
		});
	}

	/** Resolves when so many faults that match were told. */
	async told(pattern: RegExp, count = 1): Promise<void> {
		await this.changes.until(
			() => this.faults.filter(({ message }) => pattern.test(message)).length >= count,
		);
	}

	/** Ends all that is over it, and removes its queues. */
	async remove(): Promise<void> {
		for (const end of this.#ends.reverse()) await end();
		const { main, parked, retries } = this.names;
		await this.channel(async (channel) => {
			for (const name of [main, parked, ...retries.map(({ name }) => name)]) await channel.deleteQueue(name);
		});
		await this.#model?.close();
	}

	#fault(error: Error): void {
		this.faults.push(error);
		this.changes.notify();
	}
}

/** What a test of the source works with. */
export interface SourceBench {
	readonly broker: Broker;
	readonly rabbit: TestRabbit;
	/** Over it, and prepared. */
	readonly queue: RabbitmqQueue;
}

/** Starts a broker for all tests of this `describe`, and makes a mail queue of its own for each. @param use - Takes them. */
export function eachWithItsQueue(use: (bench: SourceBench) => void): void {
	let broker: Broker;
	let rabbit: TestRabbit;
	beforeAll(async () => {
		broker = await startBroker();
	});
	afterAll(() => broker?.stop());
	beforeEach(async () => {
		rabbit = new TestRabbit(broker.url);
		const queue = rabbit.queue();
		await queue.prepare();
		use({ broker, rabbit, queue });
	});
	afterEach(() => rabbit.remove());
}

/** Puts so many messages in, one after the other, each with its number. @returns Their ids. */
export async function storeNumbered(queue: RabbitmqQueue, count: number): Promise<string[]> {
	const ids: string[] = [];
	for (let number = 0; number < count; number++) {
		const info = messageInfo({ id: String(1000 + number) });
		await deliver(queue, [bytesOf(`${number}\n`)], { sender: "", recipients: ["a@example.com"] }, info);
		ids.push(info.id);
	}
	return ids;
}

/** Waits until a question is answered as it should be. It asks the broker again and again, which tells of nothing. */
export async function until<T>(ask: () => Promise<T>, isRight: (answer: T) => boolean): Promise<T> {
	for (;;) {
		const answer = await ask();
		if (isRight(answer)) return answer;
		await new Promise((resolve) => setTimeout(resolve, 10));
	}
}

/** A line to a broker. */
export class Line {
	readonly url: string;
	readonly #server: Server;
	readonly #sockets = new Set<Socket>();
	#isUp = true;

	private constructor(server: Server, port: number) {
		this.#server = server;
		const { port: own } = server.address() as AddressInfo;
		this.url = `amqp://guest:guest@127.0.0.1:${own}`;
		server.on("connection", (near) => {
			if (!this.#isUp) {
				near.destroy();
				return;
			}
			const far = connect(port, "127.0.0.1");
			for (const [from, to] of [
				[near, far],
				[far, near],
			] as const) {
				this.#sockets.add(from);
				from.on("error", () => {});
				from.on("close", () => {
					this.#sockets.delete(from);
					to.destroy();
				});
				from.pipe(to);
			}
		});
	}

	/** @param url - With a port. */
	static async to(url: string): Promise<Line> {
		const server = createServer().listen(0, "127.0.0.1");
		await once(server, "listening");
		return new Line(server, Number(new URL(url).port));
	}

	/** Ends all connections. @param down - Whether new ones are refused. */
	cut(down = false): void {
		this.#isUp = !down;
		for (const socket of this.#sockets) socket.destroy();
	}

	/** Lets new connections through again. */
	mend(): void {
		this.#isUp = true;
	}

	async end(): Promise<void> {
		this.#server.close();
		this.cut(true);
		await once(this.#server, "close");
	}
}

/** A loop over a source. */
export type Taking = AsyncIterator<Job> & { return(): Promise<unknown> };

/** The next job of a loop. */
export async function nextOf(taking: AsyncIterator<Job>): Promise<Job> {
	const { value, done } = await taking.next();
	if (done === true) throw new Error("there is no job");
	return value;
}

/** One job, which stays out when the loop has ended. */
export async function one(source: RabbitmqQueue): Promise<Job> {
	const taking = source.take({ concurrency: 1 }) as Taking;
	const job = await nextOf(taking);
	await taking.return();
	return job;
}

/** The ids of so many jobs, which stay out. */
export async function idsOf(source: RabbitmqQueue, count: number): Promise<string[]> {
	const ids: string[] = [];
	for (; ids.length < count; ) ids.push((await one(source)).id);
	return ids;
}

/** A job's body as text. */
export async function textOf({ body }: Job): Promise<string> {
	return (await readAll(body)).toString();
}

/** The headers of a message. */
export function headersOf({ properties }: GetMessage | ConsumeMessage): Readonly<Record<string, unknown>> {
	return properties.headers ?? {};
}

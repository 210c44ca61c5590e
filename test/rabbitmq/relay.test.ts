/** A relay out of RabbitMQ: what it delivers, tries again, and bounces, and what comes again when it is killed. */
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { expect, onTestFinished, test } from "vitest";
import { accepted, deferred, rejected } from "../../src/protocol/response.js";
import type { RabbitmqQueue } from "../../src/queue/rabbitmq.js";
import { Relay, type RelayOptions } from "../../src/relay/relay.js";
import { newMessageId } from "../../src/server/message-id.js";
import { startProcess } from "../support/processes.js";
import { deliver } from "../support/queue-contract.js";
import { messageInfo } from "../support/queue-message-info.js";
import { type Broker, describeWithRabbitmq } from "../support/rabbitmq.js";
import { eachWithItsQueue, type TestRabbit, until } from "../support/rabbitmq-source.js";
import { hopOnPort, startHop } from "../support/relay-mail.js";
import { Signal } from "../support/server-signal.js";

const CHILD = fileURLToPath(new URL("../support/rabbitmq-unsettled.mjs", import.meta.url));

describeWithRabbitmq("a relay out of RabbitMQ", () => {
	let broker: Broker;
	let rabbit: TestRabbit;
	let queue: RabbitmqQueue;
	eachWithItsQueue((bench) => {
		({ broker, rabbit, queue } = bench);
	});

	test("delivers, tries the deferred again with those who are left alone, and bounces the rejected", async () => {
		const tried: string[][] = [];
		const to = {
			async deliver({ recipients }: { readonly recipients: readonly string[] }) {
				tried.push([...recipients]);
				const answer = (recipient: string) => {
					if (recipient.startsWith("gone")) return rejected("no such user (#5.1.1)");
					return recipient.startsWith("later") && tried.length === 1 ? deferred("busy (#4.3.2)") : accepted();
				};
				return { responses: recipients.map(answer) };
			},
		};
		const changes = await relayTo({ to, retry: { step: 1 } });
		await put(["now@example.com", "later@example.com", "gone@example.com"]);
		await changes.until(() => tried.length === 3);
		const rest = tried.slice(1).sort();
		expect(tried[0]).toEqual(["now@example.com", "later@example.com", "gone@example.com"]);
		expect(rest).toEqual([["later@example.com"], ["sender@example.org"]]); // the second is the bounce
		expect(await rabbit.ready(rabbit.name)).toBe(0);
		expect(rabbit.faults).toEqual([]);
	});

	test("brings everything to a next hop that was down, when it is back", async () => {
		const hop = await hopOnPort();
		const changes = await relayTo({
			to: hop.url,
			retry: { step: 1, firstRest: 300, longestRest: 300 },
			limits: { messages: 200 },
		});
		for (let number = 0; number < 50; number++) await put([`${number}@example.com`]);
		await changes.until(() => resting);
		await hop.start();
		await hop.until(50);
		const got = hop.queue.messages.map(({ recipients }) => recipients[0]);
		expect(new Set(got).size).toBe(50);
	});

	test("that is killed between a K and its settle sends that message again, and no other", async () => {
		const hop = await startHop();
		const ids: string[] = [];
		for (let number = 0; number < 20; number++)
			ids.push(await put(["one@example.com"], `Subject: ${number}\n\n`));
		const child = startProcess(process.execPath, [CHILD, broker.url, rabbit.name, hop.url, ids[7] as string]);
		await child.until(/unsettled/);
		await child.until(/(?:settled \d+\s+(?:unsettled\s+)?){19}/);
		const exited = once(child.child, "exit");
		process.kill(child.child.pid as number, "SIGKILL");
		await exited;
		expect(hop.queue.messages).toHaveLength(20);

		const changes = await relayTo({ to: hop.url });
		await changes.until(() => delivered.length === 1);
		expect(delivered).toEqual([ids[7]]);
		const subjects = hop.queue.messages.map(
			({ body }) => /Subject: (\d+)/.exec(Buffer.from(body).toString())?.[1],
		);
		expect(subjects).toHaveLength(21);
		expect(subjects.filter((subject) => subject === "7")).toHaveLength(2);
		expect(new Set(subjects).size).toBe(20);
		await until(
			() => rabbit.ready(rabbit.name),
			(ready) => ready === 0,
		);
	});

	let delivered: string[] = [];
	let resting = false;

	/** Starts a relay, which ends with the test. It notifies of all that the relay tells. */
	async function relayTo(options: Omit<RelayOptions, "source">): Promise<Signal> {
		const relay = new Relay({ source: queue, hostname: "relay.example.org", ...options } as RelayOptions);
		const changes = new Signal();
		delivered = [];
		resting = false;
		for (const name of ["delivered", "deferred", "bounced", "rest", "fault"] as const) {
			relay.on(name as "delivered", (report) => {
				if (name === "delivered") delivered.push(report.id);
				if (name === "rest") resting = true;
				changes.notify();
			});
		}
		onTestFinished(async () => {
			relay.destroy();
			await relay.close();
		});
		await relay.start();
		return changes;
	}

	async function put(recipients: readonly string[], body = "Subject: test\n\nhello\n"): Promise<string> {
		const id = newMessageId();
		const envelope = { sender: "sender@example.org", recipients };
		await deliver(queue, [Buffer.from(body)], envelope, messageInfo({ id }));
		return id;
	}
});

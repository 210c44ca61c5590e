/** Relays of a maildir: one process at a time, by the relay's schedule; and what a dead process had comes again. */
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { expect, onTestFinished, test } from "vitest";
import { deferred } from "../../src/protocol/response.js";
import { maildirQueue, maildirSource } from "../../src/queue/maildir.js";
import { Relay, type RelayReport } from "../../src/relay/relay.js";
import { MailBox, mailFile } from "../support/maildir-box.js";
import { startProcess } from "../support/processes.js";
import { deliver, noise } from "../support/queue-contract.js";
import { startHop, TestClock } from "../support/relay-mail.js";
import { Gate, Signal } from "../support/server-signal.js";
import { taken } from "../support/source-contract.js";

const CHILD = fileURLToPath(new URL("../support/maildir-relay-child.mjs", import.meta.url));

function startRelay(box: MailBox, to: string, unsettled = "nobody"): ReturnType<typeof startProcess> {
	const child = startProcess(process.execPath, [CHILD, box.path, to, unsettled]);
	onTestFinished(() => child.stop());
	return child;
}

async function kill({ child }: ReturnType<typeof startProcess>): Promise<void> {
	const exited = once(child, "exit");
	process.kill(child.pid as number, "SIGKILL");
	await exited;
}

test("a relay that is killed between a K and its settle sends that message again, and no other", async () => {
	const box = await MailBox.numbered(20);
	const hop = await startHop();
	const child = startRelay(box, hop.url, "p-7@example.com");
	await child.until(/unsettled/);
	await child.until(/(?:settled \d+\s+(?:unsettled\s+)?){19}/);
	await kill(child);
	expect(hop.queue.messages).toHaveLength(20);
	expect(await box.names()).toHaveLength(1);

	const bounces = maildirQueue({ path: box.path });
	const source = maildirSource({ path: box.path });
	const relay = new Relay({ source, bounces, to: hop.url });
	const delivered = new Gate<string>();
	relay.on("delivered", ({ recipients }) => delivered.open(recipients[0]?.recipient as string));
	await relay.start();
	expect(await delivered.promise).toBe("p-7@example.com");
	await relay.close();
	await source.close();
	const recipients = hop.queue.messages.map(({ recipients: [recipient] }) => recipient);
	expect(recipients).toHaveLength(21);
	expect(recipients.filter((recipient) => recipient === "p-7@example.com")).toHaveLength(2);
	expect(new Set(recipients).size).toBe(20);
	expect(await box.names()).toEqual([]);
});

test("a second process gets nothing, says so, and goes on when the first is killed", async () => {
	const box = await MailBox.numbered(10);
	const hop = await startHop();
	const first = startRelay(box, hop.url, "p-3@example.com");
	await first.until(/unsettled/);
	await first.until(/(?:settled \d+\s+(?:unsettled\s+)?){9}/);
	const other = maildirSource({ path: box.path });
	await expect(taken(other).next()).rejects.toThrow("maildir is in use (#4.3.0)");
	await other.close();
	const second = startRelay(box, hop.url);
	await second.until(/fault maildir is in use/);
	expect(hop.queue.messages).toHaveLength(10);
	await kill(first);
	await second.until(/settled/);
	expect(hop.queue.messages).toHaveLength(11);
	expect(await box.names()).toEqual([]);
});

test("a message with a Z is tried again by the relay's schedule, and one that is too old is sent back", async () => {
	const box = await MailBox.create();
	for (const name of ["one", "two"]) {
		await box.write(`new/1790000000.${name}.host`, mailFile(`${name}@example.com`), 0);
	}
	const clock = new TestClock(Date.now());
	let isReady = false;
	const hop = await startHop({
		hooks: {
			authorize: () => ({ relay: true }),
			recipient: (address) =>
				address.startsWith("two") || !isReady ? deferred("come later (#4.2.1)") : undefined,
		},
	});
	const bounces = maildirQueue({ path: box.path });
	const source = maildirSource({ path: box.path, poll: 5, now: clock.now });
	const random = () => 0.5; // no chance
	const relay = new Relay({ source, bounces, to: hop.url, clock, random });
	onTestFinished(async () => {
		await relay.close();
		await source.close();
	});
	const told: { readonly name: string; readonly attempts: number; readonly nextAttempt?: number }[] = [];
	const changes = new Signal();
	for (const name of ["delivered", "deferred", "bounced"] as const) {
		relay.on(name, (report: RelayReport) => {
			told.push({ name, ...report });
			changes.notify();
		});
	}
	await relay.start();
	await changes.until(() => told.length === 2);
	expect(told).toMatchObject([{ name: "deferred" }, { name: "deferred" }]);
	isReady = true;
	clock.moveTo(Math.max(...told.map(({ nextAttempt = 0 }) => nextAttempt)));
	await changes.until(() => told.length === 4);
	expect(
		told
			.slice(2)
			.map(({ name, attempts }) => `${name} ${attempts}`)
			.sort(),
	).toEqual(["deferred 1", "delivered 1"]);
	clock.moveTo(clock.now() + 8 * 24 * 3_600_000);
	await changes.until(() => told.length === 6); // the bounce goes out, too
	expect(told.slice(4).map(({ name }) => name)).toEqual(["bounced", "delivered"]);
	expect(hop.queue.messages.map(({ recipients: [recipient] }) => recipient)).toEqual([
		"one@example.com",
		"s@example.org",
	]);
	expect(await box.names()).toEqual([]);
});

test("many messages that are stored by one process while another relays them arrive once, large ones too", async () => {
	const box = await MailBox.create();
	const hop = await startHop();
	startRelay(box, hop.url);
	const queue = maildirQueue({ path: box.path });
	const count = 60;
	for (let number = 0; number < count; number++) {
		const body = noise(number % 10 === 9 ? 400_000 : 100, number);
		await deliver(queue, [body], { sender: "s@example.org", recipients: [`${number}@example.com`] });
	}
	await hop.until(count);
	for (const { recipients, body } of hop.queue.messages) {
		const number = Number.parseInt(recipients[0] as string, 10);
		expect(Buffer.from(body).equals(noise(number % 10 === 9 ? 400_000 : 100, number))).toBe(true);
	}
	expect(new Set(hop.queue.messages.map(({ recipients: [recipient] }) => recipient)).size).toBe(count);
});

/** `qmtp serve` over a spool whose disk is slow, broken or full: a K means that it is on the disk, whatever happens. */
import { mkdtemp, rename, rm } from "node:fs/promises";
import { constants, tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { textOf } from "../support/bytes.js";
import { describeWithPrograms } from "../support/peers.js";
import { startProcess } from "../support/processes.js";
import { MAIN, type Running, start } from "../support/program.js";
import { deliver, noise } from "../support/queue-contract.js";
import { all, MIXER, TAKER, TestSpool } from "../support/queue-spool.js";
import { mail, TestClient } from "../support/server-client.js";
import { SHIM_PROGRAMS, SpoolShim } from "../support/spool-shim.js";

const { EIO, ENOSPC } = constants.errno;

let spool: TestSpool;
beforeEach(async () => {
	spool = await TestSpool.create();
});
afterEach(() => spool.remove());

describeWithPrograms("a disk between LMDB and us", SHIM_PROGRAMS, () => {
	let shim: SpoolShim;
	let folder: string;
	let servers: Running[];
	beforeEach(async () => {
		servers = [];
		folder = await mkdtemp(join(tmpdir(), "qmtp-shim-"));
		shim = new SpoolShim(join(folder, "shim"));
	});
	afterEach(async () => {
		shim.release();
		for (const server of servers) await kill(server);
		await rm(folder, { recursive: true });
	});

	async function serve(): Promise<{ server: Running; client: TestClient }> {
		const server = start(["serve", "--port", "0", "--queue", `spool:${spool.path}`], { env: shim.env });
		servers.push(server);
		const [, port] = await server.until("stdout", /^listening on 127\.0\.0\.1:(\d+)\n/);
		return { server, client: await TestClient.connect(Number(port)) };
	}

	test.each(["sync", "root"] as const)("no K comes before the %s of its transaction", async (call) => {
		const { server, client } = await serve();
		client.send(packages(0, 1)); // the first transaction is made in another way than those behind it
		await answers(client, 1);
		shim.hold(call);
		client.send(packages(1, 5));
		await shim.held();
		await sleep(100); // for a K that should not come
		expect(statuses(client)).toBe("K");
		shim.release();
		await answers(client, 6);
		expect(statuses(client)).toBe("KKKKKK");
		await kill(server);
		expect(await recipients()).toEqual(names(0, 6));
	});

	test.each([
		["sync", 300_000],
		["sync", 100],
		["root", 300_000],
		["root", 100],
	] as const)(
		"what had no K before a kill in the midst of the %s is not there, with bodies of %i bytes",
		async (call, bytes) => {
			const { server, client } = await serve();
			client.send(packages(0, 3));
			await answers(client, 3);
			shim.hold(call);
			client.send(packages(3, 3, bytes));
			await shim.held();
			await kill(server);
			await client.gone();
			expect(statuses(client)).toBe("KKK");
			expect(await recipients()).toEqual(names(0, 3));
			expect(await spool.bodies()).toEqual([]); // cleared away when it was opened
		},
	);

	test.each([
		["sync", EIO, "#4.3.0"],
		["root", EIO, "#4.3.0"],
		["sync", ENOSPC, "#4.3.1"],
		["root", ENOSPC, "#4.3.1"],
	] as const)("a %s that fails with %i is a Z, and the next message a K", async (call, errorNumber, code) => {
		const { server, client } = await serve();
		client.send(packages(0, 2));
		await answers(client, 2);
		shim.fail(call, errorNumber);
		client.send(packages(2, 2) + packages(4, 1, 300_000));
		await answers(client, 5);
		shim.release();
		client.send(packages(5, 2) + packages(7, 1, 300_000));
		await answers(client, 8);
		expect(statuses(client)).toBe("KKZZZKKK");
		for (const response of client.responses.slice(2, 5)) expect(response).toContain(code);
		await kill(server);
		expect(await recipients()).toEqual([...names(0, 2), ...names(5, 3)]);
		expect(await spool.bodies()).toHaveLength(1);
	});

	test.each(["sync", "root"] as const)(
		"a %s that fails fails what is stored and what is settled by it, and the next does not",
		async (call) => {
			const mixer = startProcess(process.execPath, [MIXER, spool.path], {
				env: { ...process.env, ...shim.env },
			});
			await mixer.until(/^ready\n/m);
			shim.fail(call, EIO);
			mixer.child.kill("SIGUSR2");
			await mixer.until(/^failed failed failed failed\n/m);
			shim.release();
			await rename(spool.path, `${spool.path}-away`); // it cannot be opened anew
			mixer.child.kill("SIGUSR2");
			await mixer.until(/^(failed failed failed failed\n){2}/m);
			await rename(`${spool.path}-away`, spool.path);
			mixer.child.kill("SIGUSR2");
			await mixer.until(/^done done done done\n/m);
			await mixer.stop();
			expect((await all(spool.queue())).map(({ id }) => id)).toEqual(["1002", "1003", "1008", "1009"]);
		},
	);
});

describe("a full disk", () => {
	test("is a Z and no crash; mail can be taken out of it, and comes in again when there is room", async () => {
		await withSmallDisk(async (client) => {
			// Ten at a time: what comes together is one transaction, of which there is room for all or for none.
			for (let sent = 0; sent < 120; sent += 10) {
				client.send(packages(sent, 10, 100_000));
				await answers(client, sent + 10);
			}
			expect(statuses(client)).toMatch(/^[KZ]+$/);
			expect(statuses(client).match(/Z/g)?.length).toBeGreaterThan(20);
			for (const response of client.responses) expect(response).toMatch(/^K|#4\.3\.1/);
			const accepted = names(0, 120).filter((_, index) => client.responses[index]?.startsWith("K"));
			expect(accepted.length).toBeGreaterThan(20);
			expect(await recipients()).toEqual(accepted);
		});
		const taker = startProcess("bash", [
			"-c",
			SMALL_DISK,
			process.execPath,
			TAKER,
			spool.path,
			"60000",
			"1000",
		]);
		const queue = spool.queue();
		while ((await queue.stats()).messages > 0) await sleep(20);
		await taker.stop();
		const [response] = await deliver(queue, [noise(100_000)], { sender: "", recipients: ["r@example.com"] });
		expect(response?.status).toBe("K");
	});

	test("leaves no part of a large body, which is a file of its own", async () => {
		await withSmallDisk(async (client) => {
			client.send(packages(0, 1, 13_000_000) + packages(1, 1));
			await answers(client, 2);
			expect(statuses(client)).toBe("ZK");
			expect(client.responses[0]).toContain("#4.3.1");
			expect(await spool.bodies()).toEqual([]);
		});
	});

	async function withSmallDisk(use: (client: TestClient) => Promise<void>): Promise<void> {
		const args = ["serve", "--port", "0", "--queue", `spool:${spool.path}`];
		const server = startProcess("bash", ["-c", SMALL_DISK, process.execPath, MAIN, ...args]);
		try {
			const [, port] = await server.until(/^listening on 127\.0\.0\.1:(\d+)\n/);
			const client = await TestClient.connect(Number(port));
			await use(client);
			client.socket.destroy();
		} finally {
			await server.stop();
		}
	}
});

// No file may be larger than 12 MiB.
const SMALL_DISK = `ulimit -f 12288; exec "$0" "$@"`;

/** So many packages, one behind the other, each to a recipient of its own. */
function packages(first: number, count: number, size = 100): string {
	const body = `\n${textOf(noise(size))}`;
	return names(first, count)
		.map((recipient) => mail({ message: body, recipients: [recipient] }))
		.join("");
}

function names(first: number, count: number): string[] {
	return Array.from({ length: count }, (_, index) => `r${first + index}@example.com`);
}

async function recipients(): Promise<string[]> {
	const copies = await spool.stored();
	return copies.map(({ recipient }) => recipient);
}

async function answers(client: TestClient, count: number): Promise<void> {
	await client.changes.until(() => client.responses.length >= count || client.closed);
}

function statuses(client: TestClient): string {
	return client.responses.map((response) => response[0]).join("");
}

async function kill({ child, exit }: Running): Promise<void> {
	child.kill("SIGKILL");
	await exit;
}

/**
 * A server over a maildir whose disk fails, with several messages on several connections under way: what goes out on the
 * wire. What a queue does with one message when a call fails is in test/queue/maildir-faults.test.ts.
 */
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Random } from "../../benchmarks/soak/random.js";
import { nodeFileSystem } from "../../src/queue/maildir/file-system.js";
import { copiesAt, copiesOf, type FaultMail, faultMail } from "../support/faults-mails.js";
import { FaultyServer, LEFT_OVER, type Told } from "../support/faults-server.js";
import { type Call, systemError } from "../support/queue-file-system.js";

const random = new Random(1);
// The large one goes through a file in tmp/.
const MAILS: readonly (readonly FaultMail[])[] = [
	[faultMail("a1", 100, 1, random), faultMail("a2", 0, 2, random)],
	[faultMail("b1", 300_000, 2, random)],
	[faultMail("c1", 5000, 1, random)],
];
const COPIES = MAILS.flat().flatMap(copiesOf);
const LATER: readonly (readonly FaultMail[])[] = [[faultMail("later", 100, 1, random)]];

let server: FaultyServer;
beforeEach(async () => {
	// What a crash leaves is said by the disk of the test. The real one would make some thousand syncs a matter of minutes.
	vi.spyOn(nodeFileSystem, "fsync").mockImplementation(async () => {});
	server = await FaultyServer.start();
});
afterEach(async () => {
	await server.stop();
	vi.restoreAllMocks();
});

/** What is in the maildir is whole, and what was told K is there; nothing else is, but what could not be removed. */
async function expectOnlyWhatWasSaid(told: Told): Promise<void> {
	const { maildir, disk, fileSystem } = server;
	const stuck = (folder: string) => (name: string) =>
		disk.notUnlinked.has(`${maildir.path}/${folder}/${name}`);
	const names = await maildir.names("new");
	const stored = await copiesAt(maildir.path, names);
	const accepted = [...told].filter(([, response]) => response.startsWith("K")).map(([copy]) => copy);
	expect(new Set(stored).size).toBe(stored.length);
	expect(stored).toEqual(expect.arrayContaining(accepted));
	const meant = await copiesAt(
		maildir.path,
		names.filter((name) => !stuck("new")(name)),
	);
	expect(accepted).toEqual(expect.arrayContaining(meant));
	const inTmp = await maildir.names("tmp");
	// It is for the next hour if the clearing itself failed.
	expect(inTmp.filter((name) => !stuck("tmp")(name) && name !== LEFT_OVER)).toEqual([]);
	expect([...fileSystem.openPaths.values()]).toEqual([]);
}

describe.each(["ENOSPC", "EIO", "EMFILE"])("a server whose disk says %s", (code) => {
	it.each([
		["at one call", (call: Call, number: number) => call.number === number],
		["at one call and all after it", (call: Call, number: number) => call.number >= number],
	])("%s gives a K only to what a crash leaves there, else Z, and works afterwards", async (_, fails) => {
		let refused = 0;
		for (let number = 1; ; number++) {
			let failed = false;
			server.fileSystem.watch({
				before: (call) => {
					if (!fails(call, number)) return;
					failed = true;
					throw systemError(code);
				},
			});
			const told = await server.send(MAILS);
			expect([...told.keys()].sort()).toEqual([...COPIES].sort());
			for (const response of told.values()) expect(response).toMatch(/^[KZ]/);
			await server.quiet(told, COPIES.length);
			await expectOnlyWhatWasSaid(told);
			refused += [...told.values()].filter((response) => response.startsWith("Z")).length;

			server.fileSystem.watch({});
			const [[copy, response] = []] = await server.send(LATER);
			expect(`${copy} ${response?.slice(0, 1)}`).toBe("later r0@example.com K");
			await server.stop();
			if (!failed) break;
			server = await FaultyServer.start();
		}
		expect(refused).toBeGreaterThan(10);
	});
});

describe("a server whose disk holds one call back", () => {
	it("has no K on the wire that hangs on this call, whichever it is, and all of them later", async () => {
		let heldBack = 0;
		for (let number = 1; ; number++) {
			server.hold((call) => call.number === number);
			const told: Told = new Map();
			const sending = server.send(MAILS, told); // it fails at a K that comes too early
			sending.catch(() => {});
			const [held] = await server.quiet(told, COPIES.length);
			if (held === undefined) break;
			const { name, path } = held;
			const needed = name === "fsync" || name === "rename" || path.endsWith("/mail/new/");
			if (needed) expect(told.size, `${name} ${path}`).toBeLessThan(COPIES.length);
			if (told.size < COPIES.length) heldBack++;
			server.release();
			await sending;
			for (const response of told.values()) expect(response).toMatch(/^K/);
			expect(told.size).toBe(COPIES.length);
			await expectOnlyWhatWasSaid(told);
			expect(await server.maildir.names("tmp")).toEqual([]);
			await server.stop();
			server = await FaultyServer.start();
		}
		expect(heldBack).toBeGreaterThan(10);
	});

	it.each([
		["the file in tmp/", "/mail/tmp/", 0],
		["the directory new/", "/mail/new/", 1],
	])("has nothing on the wire while it is the fsync of %s", async (_, part, files) => {
		server.hold(({ name, path }) => name === "fsync" && path.includes(part));
		const told: Told = new Map();
		const sending = server.send(LATER, told);
		sending.catch(() => {});
		expect(await server.quiet(told, 1)).toHaveLength(1);
		expect(told.size).toBe(0);
		expect(await server.maildir.names("new")).toHaveLength(files);
		server.release();
		await sending;
		expect([...told.values()].map((response) => response.slice(0, 1))).toEqual(["K"]);
	});
});

/** `qmtp relay --source maildir:DIR`, with a real next hop. */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { deferred, rejected } from "../../src/protocol/response.js";
import { MailBox, mailFile } from "../support/maildir-box.js";
import { startProcess } from "../support/processes.js";
import { MAIN, type Running, run, start, withDirectory } from "../support/program.js";
import { noise } from "../support/queue-contract.js";
import { type RelayHop, readBounce, startHop } from "../support/relay-mail.js";

/** A relay of this maildir, which is running. */
async function relayOf(box: MailBox, hop: RelayHop, ...options: string[]): Promise<Running> {
	const source = `maildir:${box.path}`;
	const args = ["relay", "--source", source, "--to", hop.url, "--hostname", "relay.example.org", ...options];
	const running = start(args);
	onTestFinished(() => void running.child.kill("SIGKILL"));
	await running.until("stdout", /^relaying maildir:\S+ to qmtp:/m);
	return running;
}

async function ended(running: Running): Promise<void> {
	running.child.kill("SIGTERM");
	expect(await running.exit).toBe(0);
	expect(running.stderr).toBe("");
}

test("delivers what is in new/, byte for byte, and removes it", async () => {
	const large = noise(700_000);
	const box = await MailBox.with([
		{ recipient: "one@example.com", body: "Subject: \xff\r\n\n\0end" },
		{ recipient: "large@example.com", body: large },
		{ recipient: "j\xfcrgen@example.com", sender: "\xe4 b@example.org", body: "" },
	]);
	const hop = await startHop({ addressEncoding: "latin1" });
	const relay = await relayOf(box, hop);
	await relay.until("stdout", /delivered id=\d{16} from=<s@example.org> to=<one@example.com> ok/);
	await relay.until("stdout", /(delivered .*\n){3}/);
	expect(await box.names()).toEqual([]);
	await box.write("new/1790000000.1.host", mailFile("late@example.com"));
	await relay.until("stdout", /delivered id=\d+ from=<s@example.org> to=<late@example.com> ok/);
	await ended(relay);
	const got = hop.queue.messages.map(({ sender, recipients, body }) => {
		return [sender, ...recipients, Buffer.from(body).toString("latin1")];
	});
	expect(got.sort()).toEqual(
		[
			["s@example.org", "one@example.com", "Subject: \xff\r\n\n\0end"],
			["s@example.org", "large@example.com", Buffer.from(large).toString("latin1")],
			["\xe4 b@example.org", "j\xfcrgen@example.com", ""],
			["s@example.org", "late@example.com", "x\n"],
		].sort(),
	);
});

test("keeps what gets a Z, and tries it at once after a restart", async () => {
	const box = await MailBox.create();
	await box.write("new/1790000000.1.host", mailFile("one@example.com"), 0);
	const hop = await startHop({ hooks: { recipient: () => deferred("come later (#4.2.1)") } });
	const relay = await relayOf(box, hop);
	await relay.until(
		"stdout",
		/deferred id=\d+ from=<s@example.org> to=<one@example.com> next=\S+ come later/,
	);
	await ended(relay);
	expect(await box.names()).toEqual(["new/1790000000.1.host"]);
	const second = await startHop();
	const again = await relayOf(box, second);
	await again.until("stdout", /delivered id=\d+ from=<s@example.org> to=<one@example.com> ok/);
	await ended(again);
	expect(await box.names()).toEqual([]);
});

test("sends back what gets a D: the bounce is in the maildir, and is delivered by the same relay", async () => {
	const box = await MailBox.create();
	await box.write(
		"new/1790000000.1.host",
		mailFile("gone@example.com", "Subject: hi\n\nhello\n", "s@example.org"),
	);
	const hop = await startHop({
		hooks: {
			recipient: (address) => (address.startsWith("gone") ? rejected("no such user (#5.1.1)") : undefined),
			authorize: () => ({ relay: true }),
		},
	});
	const relay = await relayOf(box, hop);
	await relay.until("stdout", /bounced id=\d+ .*bounce-to=<s@example.org> no such user/);
	await relay.until("stdout", /delivered id=\d+ from=<> to=<s@example.org> ok/);
	await ended(relay);
	expect(await box.names()).toEqual([]);
	expect(hop.queue.messages).toHaveLength(1);
	const [{ sender, recipients, body }] = hop.queue.messages as [(typeof hop.queue.messages)[number]];
	expect([sender, ...recipients]).toEqual(["", "s@example.org"]);
	const bounce = await readBounce(body);
	expect(bounce.recipients[0]?.get("final-recipient")).toContain("gone@example.com");
	expect(bounce.original?.text).toBe("Subject: hi\n\nhello\n");
});

test("tells the postmaster of a bounce that bounces, and nobody of one to the postmaster", async () => {
	const box = await MailBox.create();
	await box.write("new/1790000000.1.host", mailFile("gone@example.com", "x\n", "gone@example.org"));
	let takesPostmaster = true;
	const hop = await startHop({
		hooks: {
			recipient: (address) =>
				takesPostmaster && address.startsWith("postmaster") ? undefined : rejected("no (#5.1.1)"),
			authorize: () => ({ relay: true }),
		},
	});
	const relay = await relayOf(box, hop);
	await relay.until(
		"stdout",
		/bounced id=\d+ from=<gone@example.org> to=<gone@example.com> bounce-to=<gone@example.org>/,
	);
	await relay.until(
		"stdout",
		/bounced id=\d+ from=<> to=<gone@example.org> bounce-to=<postmaster@relay.example.org>/,
	);
	await relay.until("stdout", /delivered id=\d+ from=<> to=<postmaster@relay.example.org>/);
	takesPostmaster = false;
	await box.write("new/1790000001.1.host", mailFile("gone@example.com", "x\n", ""));
	await relay.until("stdout", /dropped id=\d+ from=<> to=<postmaster@relay.example.org>/);
	await ended(relay);
	expect(hop.queue.messages.map(({ sender }) => sender)).toEqual([""]);
	expect(await box.names()).toEqual([]);
});

test("logs a file that is no mail once, and leaves it", async () => {
	const box = await MailBox.create();
	await box.write("new/1790000000.1.host", "Subject: x\n\nno envelope\n");
	await box.write("new/1790000001.1.host", mailFile("one@example.com"));
	const hop = await startHop();
	const relay = await relayOf(box, hop);
	await relay.until("stdout", /delivered .* to=<one@example.com>/);
	await box.write("new/1790000002.1.host", mailFile("two@example.com"));
	await relay.until("stdout", /delivered .* to=<two@example.com>/);
	await ended(relay);
	expect(relay.stdout.match(/^skipped .*$/gm)).toEqual([
		"skipped file=1790000000.1.host it does not begin with the lines Return-Path: <SENDER> and Delivered-To: RECIPIENT",
	]);
	expect(await box.names()).toEqual(["new/1790000000.1.host"]);
});

test("one process at a time: neither a second relay nor qmtp maildir", async () => {
	const box = await MailBox.create();
	const hop = await startHop();
	const relay = await relayOf(box, hop);
	const second = await run(["relay", "--source", `maildir:${box.path}`, "--to", hop.url]);
	expect(second).toEqual({
		code: 111,
		stdout: "",
		stderr: `qmtp relay: unable to lock ${box.path}/seriallock: somebody else delivers the mail in this maildir\n`,
	});
	const dropIn = await run(["maildir", box.path, "", "127.0.0.1", String(hop.port)]);
	expect(dropIn.code).toBe(111);
	expect(dropIn.stderr).toContain("seriallock: temporary failure\n");
	await ended(relay);
	expect((await run(["maildir", box.path, "", "127.0.0.1", String(hop.port)])).code).toBe(0);
});

test("goes on with a lock that it was handed down", async () => {
	const box = await MailBox.numbered(1);
	const hop = await startHop();
	const locked = 'exec 9>>"$0/seriallock"; flock -x 9; exec "$@"';
	const relay = [MAIN, "relay", "--source", `maildir:${box.path}`, "--to", hop.url];
	const both = startProcess("sh", ["-c", locked, box.path, process.execPath, ...relay]);
	onTestFinished(() => both.stop());
	await both.until(/delivered .* to=<p-0@example.com>/);
});

test("a directory that is no maildir is refused, and left as it is", async () => {
	await withDirectory(async (cwd) => {
		await mkdir(join(cwd, "mail/new"), { recursive: true });
		for (const [name, folder] of [
			["mail", "cur"],
			["nothing", "new"],
			["file", "new"],
		] as const) {
			await writeFile(join(cwd, "file"), "");
			const { code, stdout, stderr } = await run(["relay", "--source", `maildir:${name}`, "--to", "mx"], {
				cwd,
			});
			expect([code, stdout]).toEqual([111, ""]);
			expect(stderr).toMatch(
				new RegExp(`^qmtp relay: /\\S+/${name} is no maildir: there is no directory ${folder} in it\n$`),
			);
		}
	});
});

/** What a child finds when it starts: descriptors, arguments, directory and variables. */
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { MessageInfo } from "../../src/protocol/message-info.js";
import type { Environment } from "../../src/queue/qmail-queue/environment.js";
import { bytesOf } from "../support/bytes.js";
import { cut, deliver, noise, statuses } from "../support/queue-contract.js";
import { messageInfo } from "../support/queue-message-info.js";
import { QmailHome, READ_ALL } from "../support/queue-qmail.js";

const ENVELOPE = { sender: "me@example.org", recipients: ["you@example.com"] };
const BODY = [bytesOf("x\n")];

let home: QmailHome;
beforeEach(() => {
	home = new QmailHome();
});
afterEach(async () => {
	vi.unstubAllEnvs();
	await home.remove();
});

describe("the descriptors", () => {
	it("are the message, the envelope, ours for errors, and 6", async () => {
		const open = "for fd in 0 1 2 3 4 5 6 7 8 9; do test -e /proc/$$/fd/$fd && echo $fd; done >open";
		const links = `for path in $$/fd/0 $$/fd/1 $$/fd/6 $$/fd/2 ${process.pid}/fd/2; do
			readlink /proc/$path
		done | cat >links`;
		const queue = home.queue(`${open}\n${links}\n${READ_ALL}`);
		expect(statuses(await deliver(queue, BODY, ENVELOPE))).toBe("K");
		expect(await home.text("open")).toBe("0\n1\n2\n6\n");
		const [message, envelope, text, errors, ours] = (await home.text("links")).split("\n");
		expect(errors).toBe(ours);
		for (const link of [message, envelope, text]) expect(link).toMatch(/^socket:/);
		expect(new Set([message, envelope, text, errors]).size).toBe(4);
	});

	it("bring the message and the envelope, byte for byte", async () => {
		const queue = home.queue("cat >body; cat <&1 >envelope");
		const recipients = ["j\xfc@example.com", "", "a@example.com", "a@example.com"];
		const info = messageInfo({ addressEncoding: "latin1" });
		const responses = await deliver(queue, [noise(100_000)], { sender: "", recipients }, info);
		expect(statuses(responses)).toBe("KKKK");
		expect(await home.text("body")).toBe(Buffer.from(noise(100_000)).toString("latin1"));
		expect(await home.text("envelope")).toBe("F\0Tj\xfc@example.com\0T\0Ta@example.com\0Ta@example.com\0\0");
	});

	it("bring nothing of the envelope before the message was written", async () => {
		const queue = home.queue("echo >started; head -c 1 <&1 >first; echo >end", { timeout: 300 });
		const delivery = await queue.open(messageInfo());
		await home.line("started");
		for (const piece of cut(noise(1_000_000), 60_000)) await delivery.write(piece);
		await expect(delivery.commit(ENVELOPE)).rejects.toThrow("qq timeout");
		expect(await home.text("first")).toBe("");
		await expect(home.text("end")).rejects.toThrow("ENOENT");
	});

	it("take what is written to 1, and drop it", async () => {
		const queue = home.queue(`head -c 1000000 /dev/zero >&1; ${READ_ALL}; head -c 1000000 /dev/zero >&1`);
		expect(statuses(await deliver(queue, BODY, ENVELOPE))).toBe("K");
	});

	it("bring the message as it arrives", async () => {
		const queue = home.queue(`read -r line; echo "$line" >first; ${READ_ALL}`);
		const delivery = await queue.open(messageInfo());
		await delivery.write(bytesOf("Subject: x\n"));
		expect(await home.line("first")).toBe("Subject: x");
		expect(statuses(await delivery.commit(ENVELOPE))).toBe("K");
	});

	it("are there before the first byte of the message", async () => {
		const queue = home.queue(`echo started >first; ${READ_ALL}`);
		const delivery = await queue.open(messageInfo());
		expect(await home.line("first")).toBe("started");
		await delivery.abort(new Error("the client left"));
	});
});

describe("the program", () => {
	const TELL = `printf '%s\\n' "$0" "$@" >arguments; pwd -P >directory; ${READ_ALL}`;

	it("runs in its home, with its name and its arguments as they were given", async () => {
		home.script("program", TELL);
		const command = ["./program", "a b", "$HOME", ""];
		expect(statuses(await deliver(home.queue("", { command }), BODY, ENVELOPE))).toBe("K");
		expect(await home.text("arguments")).toBe("./program\na b\n$HOME\n\n");
		expect(await home.text("directory")).toBe(`${home.path}\n`);
	});

	it("is looked for in PATH if its name has no slash", async () => {
		const command = ["sh", "-c", `tr '\\0' '\\n' </proc/$$/cmdline >arguments; ${READ_ALL}`];
		expect(statuses(await deliver(home.queue("", { command }), BODY, ENVELOPE))).toBe("K");
		expect(await home.text("arguments")).toMatch(/^sh\n-c\n/);
	});

	it("is named by QMAILQUEUE of the client's rights, for this message alone", async () => {
		const queue = home.queue("echo >usual; exit 31");
		const access = { environment: { QMAILQUEUE: home.script("other", TELL) } };
		expect(statuses(await deliver(queue, BODY, ENVELOPE, messageInfo({ access })))).toBe("K");
		expect(await home.text("arguments")).toBe(`${home.path}/other\n`);
		expect(statuses(await deliver(queue, BODY, ENVELOPE))).toBe("D");
		const empty = messageInfo({ access: { environment: { QMAILQUEUE: "" } } });
		expect(statuses(await deliver(queue, BODY, ENVELOPE, empty))).toBe("D");
	});

	it("is in a session of its own, where the terminal's signals do not come", async () => {
		const queue = home.queue(`cut -d' ' -f1,5,6 /proc/$$/stat >session; ${READ_ALL}`);
		const [response] = await deliver(queue, BODY, ENVELOPE);
		const pid = response?.description.split(" ").at(-1);
		expect(await home.text("session")).toBe(`${pid} ${pid} ${pid}\n`);
	});
});

describe("the environment", () => {
	/** The variables that a child has. */
	async function variables(
		info: Partial<MessageInfo>,
		environment?: (message: MessageInfo) => Environment,
	): Promise<Record<string, string>> {
		const queue = home.queue(`env >variables; ${READ_ALL}`, environment === undefined ? {} : { environment });
		expect(statuses(await deliver(queue, BODY, ENVELOPE, messageInfo(info)))).toBe("K");
		const lines = (await home.text("variables")).trimEnd().split("\n");
		return Object.fromEntries(lines.map((line) => line.split(/=(.*)/s).slice(0, 2)));
	}

	const UNKNOWN = { remoteAddress: "", remotePort: 0, localAddress: "", localPort: 0 };
	const PEER = { remoteAddress: "192.0.2.1", remotePort: 4000, localAddress: "192.0.2.2", localPort: 209 };

	it("is that of this process", async () => {
		vi.stubEnv("SOMETHING", "of this process");
		vi.stubEnv("HOME", home.path);
		expect(await variables({})).toMatchObject({ SOMETHING: "of this process", HOME: home.path });
	});

	it("tells of the connection as tcpserver does", async () => {
		const peer = { ...PEER, remoteHost: "client.example.org", remoteInfo: "joe" };
		expect(await variables({ peer })).toMatchObject({
			PROTO: "TCP",
			TCPREMOTEIP: "192.0.2.1",
			TCPREMOTEPORT: "4000",
			TCPREMOTEHOST: "client.example.org",
			TCPREMOTEINFO: "joe",
			TCPLOCALIP: "192.0.2.2",
			TCPLOCALPORT: "209",
		});
	});

	it("tells nothing of another connection", async () => {
		vi.stubEnv("TCPREMOTEHOST", "other.example.org");
		vi.stubEnv("TCPREMOTEINFO", "other");
		const told = await variables({ peer: { ...PEER, remoteHost: "" } });
		expect(told).toMatchObject({ TCPREMOTEIP: "192.0.2.1" });
		expect(told).not.toHaveProperty("TCPREMOTEHOST");
		expect(told).not.toHaveProperty("TCPREMOTEINFO");
	});

	it("is left alone if nobody knows the connection", async () => {
		vi.stubEnv("TCPREMOTEIP", "192.0.2.9");
		vi.stubEnv("TCPREMOTEHOST", "other.example.org");
		const told = await variables({ peer: UNKNOWN });
		expect(told).toMatchObject({ TCPREMOTEIP: "192.0.2.9", TCPREMOTEHOST: "other.example.org" });
		expect(told).not.toHaveProperty("PROTO");
		expect(told).not.toHaveProperty("TCPLOCALIP");
	});

	it.each([
		{ access: { relay: true }, expected: "" },
		{ access: { relay: true, suffix: "@relay" }, expected: "@relay" },
		{ access: { relay: false, suffix: "@relay" }, expected: undefined },
		{ access: {}, expected: undefined },
	])("has RELAYCLIENT only if the client may relay: $access", async ({ access, expected }) => {
		vi.stubEnv("RELAYCLIENT", "of this process");
		const { RELAYCLIENT } = await variables({ access });
		expect(RELAYCLIENT).toBe(expected);
	});

	it("has the variables of the client's rights over ours, and those of the option over all", async () => {
		vi.stubEnv("A", "process");
		vi.stubEnv("B", "process");
		vi.stubEnv("C", "process");
		const access = { environment: { A: "rights", B: "rights", TCPREMOTEIP: "rights", E: "a=b" } };
		const id = "4711";
		const told = await variables({ id, access }, (message) => ({
			B: `option ${message.id}`,
			C: undefined,
			PROTO: "TCP6",
		}));
		expect(told).toMatchObject({
			A: "rights",
			B: "option 4711",
			TCPREMOTEIP: "rights",
			E: "a=b",
			PROTO: "TCP6",
		});
		expect(told).not.toHaveProperty("C");
	});
});

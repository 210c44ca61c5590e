/** What the end of a child means: exit codes, signals, error texts, and programs that do not start. */
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, open, writeFile } from "node:fs/promises";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { QueueError } from "../../src/errors.js";
import type { Environment } from "../../src/queue/qmail-queue/environment.js";
import { startError } from "../../src/queue/qmail-queue/program.js";
import { type QmailQueueOptions, qmailQueue } from "../../src/queue/qmail-queue.js";
import { bytesOf } from "../support/bytes.js";
import { deliver } from "../support/queue-contract.js";
import { messageInfo } from "../support/queue-message-info.js";
import { descriptors, QmailHome, READ_ALL } from "../support/queue-qmail.js";

const ENVELOPE = { sender: "me@example.org", recipients: ["you@example.com"] };
const BODY = [bytesOf("x\n")];

let home: QmailHome;
beforeEach(() => {
	home = new QmailHome();
});
afterEach(() => home.remove());

/** The response to one message, as on the wire. */
async function answer(text: string, environment: Environment = {}): Promise<string> {
	return await answerOf(home.queue(text, { environment: () => environment }));
}

async function answerOf(queue: ReturnType<typeof qmailQueue>, info = messageInfo()): Promise<string> {
	const [response] = await deliver(queue, BODY, ENVELOPE, info);
	return `${response?.status}${response?.description}`;
}

describe("an exit code", () => {
	it.each([
		["with nothing on descriptor 6", ""],
		["with a text on descriptor 6, which counts for 82 alone", "printf Dfoo >&6"],
	])("means what it means to qmail-qmtpd, each one %s", async (_, before) => {
		const queue = home.queue(`${before}\n${READ_ALL}\nexit $CODE`, {
			environment: ({ id }) => ({ CODE: id }),
			concurrency: 8,
		});
		const codes = Array.from({ length: 256 }, (_, code) => code);
		const answers = await Promise.all(
			codes.map((code) => answerOf(queue, messageInfo({ id: String(code) }))),
		);
		const expected = codes.map((code) => (code === 82 && before !== "" ? "Dfoo" : meaningOf(code)));
		expect(answers.map((answer) => answer.replace(/\d{5,} qp \d+$/, "T qp P"))).toEqual(expected);
	});

	it("is the same for all recipients", async () => {
		const queue = home.queue(`${READ_ALL}; exit 31`);
		const responses = await deliver(queue, BODY, { sender: "s", recipients: ["a", "b", "a"] });
		const response = { status: "D", description: "mail server permanently rejected message (#5.3.0)" };
		expect(responses).toEqual([response, response, response]);
	});
});

describe("the text of exit code 82", () => {
	it.each([
		["a D", "Dno such user (#5.1.1)", "Dno such user (#5.1.1)"],
		["a Z", "Zlater (#4.3.0)", "Zlater (#4.3.0)"],
		["a K is a failure all the same", "Kok 1 qp 2", "ZKok 1 qp 2"],
		["no letter", "later", "Zlater"],
		["a small letter is none", "dno", "Zdno"],
		["three bytes are enough", "Dno", "Dno"],
		["two bytes are not", "Dn", "Zqq temporary problem (#4.3.0)"],
		["nothing", "", "Zqq temporary problem (#4.3.0)"],
		["control characters become spaces", "Da\tb\nc\u007f", "Da b c "],
		["a # without a code becomes a space", "Dissue #42", "Dissue  42"],
		["255 bytes", `D${"x".repeat(254)}`, `D${"x".repeat(254)}`],
		["300 bytes are cut", `D${"x".repeat(299)}`, `D${"x".repeat(254)}`],
		["UTF-8 is not cut within a character", `D${"ü".repeat(150)}`, `D${"ü".repeat(127)}`],
		["a character of which half is there is left out", `Dx${"ü".repeat(150)}`, `Dx${"ü".repeat(126)}`],
	])("%s", async (_, text, expected) => {
		expect(await answer(`${READ_ALL}; printf %s "$TEXT" >&6; exit 82`, { TEXT: text })).toBe(expected);
	});

	it("may come in pieces", async () => {
		const text = `${READ_ALL}; printf D >&6; printf 'no ' >&6; /bin/printf more >&6; exit 82`;
		expect(await answer(text)).toBe("Dno more");
	});

	it("may be bytes that are not UTF-8", async () => {
		expect(await answer(`${READ_ALL}; printf 'Da\\377b' >&6; exit 82`)).toBe("Da\ufffdb");
	});

	it("is read and dropped behind its first bytes, so that the child does not block", async () => {
		const text = `head -c 1048576 /dev/zero | tr '\\0' D >&6; ${READ_ALL}; exit 82`;
		expect(await answer(text)).toBe("D".repeat(255));
	});

	it("is waited for if it comes from a child of the child", async () => {
		const gate = home.gate("gate");
		const queue = home.queue(`{ read -r line <gate; printf Dlate >&6; } & ${READ_ALL}; echo >end; exit 82`);
		const answered = answerOf(queue);
		await home.line("end");
		await gate.open();
		expect(await answered).toBe("Dlate");
	});
});

describe("a signal", () => {
	it.each(["SEGV", "TERM", "KILL", "INT"])("%s is a crash, and a fault", async (signal) => {
		const queue = home.queue(`${READ_ALL}; kill -${signal} $$; while :; do sleep 1; done`);
		await expect(deliver(queue, BODY, ENVELOPE)).rejects.toThrow(
			expect.objectContaining({
				name: "QueueError",
				code: "ERR_QMTP_QUEUE",
				permanent: false,
				message: "qq crashed (#4.3.0)",
				cause: expect.objectContaining({ message: expect.stringMatching(`process \\d+ .* SIG${signal}$`) }),
			}),
		);
	});
});

describe("a program that does not start", () => {
	/** What `open` and `prepare` reject with. */
	async function refusal(options: QmailQueueOptions, info = messageInfo()): Promise<QueueError> {
		const queue = qmailQueue({ home: home.path, ...options });
		const error = await Promise.resolve(queue.open(info)).catch((error: unknown) => error);
		expect(error).toBeInstanceOf(QueueError);
		expect(error).toMatchObject({ code: "ERR_QMTP_QUEUE", permanent: false, cause: expect.any(Error) });
		return error as QueueError;
	}

	/** How `prepare` says it. */
	async function unprepared(options: QmailQueueOptions): Promise<string> {
		const error = await qmailQueue({ home: home.path, ...options })
			.prepare()
			.catch((error: unknown) => error);
		expect(error).toBeInstanceOf(QueueError);
		return `${(error as Error).message}: ${((error as Error).cause as Error).message}`;
	}

	const NOT_EXECUTED = "unable to exec qq (#4.3.0)";
	const BAD_HOME = "qq trouble in home directory (#4.3.0)";

	it("is not there", async () => {
		const error = await refusal({});
		expect(error.message).toBe(NOT_EXECUTED);
		expect(error.cause).toMatchObject({ code: "ENOENT", path: "bin/qmail-queue" });
		const access = `ENOENT: no such file or directory, access '${home.path}/bin/qmail-queue'`;
		expect(await unprepared({})).toBe(`${NOT_EXECUTED}: ${access}`);
	});

	it("is not executable", async () => {
		home.script("plain", "exit 0", 0o644);
		const error = await refusal({ command: "./plain" });
		expect(error.message).toBe(NOT_EXECUTED);
		expect(error.cause).toMatchObject({ code: "EACCES" });
		const access = `EACCES: permission denied, access '${home.path}/plain'`;
		expect(await unprepared({ command: "./plain" })).toBe(`${NOT_EXECUTED}: ${access}`);
	});

	it("is a directory", async () => {
		await mkdir(`${home.path}/bin`);
		expect((await refusal({ command: "./bin" })).message).toBe(NOT_EXECUTED);
		expect(await unprepared({ command: "./bin" })).toBe(`${NOT_EXECUTED}: ${home.path}/bin is no file`);
	});

	it("is below a file", async () => {
		home.script("file", "exit 0");
		expect((await refusal({ command: "file/qmail-queue" })).message).toBe(NOT_EXECUTED);
		expect(await unprepared({ command: "file/qmail-queue" })).toContain("ENOTDIR");
	});

	it("is in no directory of PATH", async () => {
		expect((await refusal({ command: "no-such-program" })).message).toBe(NOT_EXECUTED);
		const notFound = "no-such-program is not in a directory of PATH";
		expect(await unprepared({ command: "no-such-program" })).toBe(`${NOT_EXECUTED}: ${notFound}`);
	});

	it("has no interpreter", async () => {
		await writeFile(`${home.path}/script`, "#!/no/such/shell\n", { mode: 0o755 });
		expect((await refusal({ command: "./script" })).message).toBe(NOT_EXECUTED);
	});

	it("gets more variables than the system takes", async () => {
		const error = await refusal({ command: "cat", environment: () => ({ LONG: "x".repeat(300_000) }) });
		expect(error.message).toBe(NOT_EXECUTED);
		expect(error.cause).toMatchObject({ code: "E2BIG" });
	});

	it.each([
		["is missing", "none", "ENOENT"],
		["is a file", "file", "file is no directory"],
		["is below a file", "file/none", "ENOTDIR"],
	])("has a home that %s", async (_, name, cause) => {
		home.script("file", "exit 0");
		const options = { command: "/bin/cat", home: `${home.path}/${name}` };
		expect((await refusal(options)).message).toBe(BAD_HOME);
		const unpreparedText = await unprepared(options);
		expect(unpreparedText).toContain(`${BAD_HOME}: `);
		expect(unpreparedText).toContain(cause);
		expect(unpreparedText).toContain(options.home);
	});

	it("has a NUL among its variables or in its name", async () => {
		const temporary = "qq temporary problem (#4.3.0)";
		expect((await refusal({ command: "cat", environment: () => ({ A: "b\0c" }) })).message).toBe(temporary);
		const byRule = (environment: Record<string, string>) =>
			refusal({ command: "cat" }, messageInfo({ access: { environment } }));
		expect((await byRule({ A: "b\0c" })).message).toBe(temporary);
		expect((await byRule({ QMAILQUEUE: "/bin/c\0at" })).message).toBe(temporary);
	});

	it("has an environment() that throws", async () => {
		const cause = new Error("no variables today");
		const environment = () => {
			throw cause;
		};
		expect(await refusal({ command: "cat", environment })).toMatchObject({
			message: "qq temporary problem (#4.3.0)",
			cause,
		});
		const refused = new QueueError("ERR_QMTP_QUEUE", "not you", { permanent: true });
		const queue = qmailQueue({
			home: home.path,
			environment: () => {
				throw refused;
			},
		});
		await expect(queue.open(messageInfo())).rejects.toBe(refused);
	});

	it.skipIf(!existsSync("/usr/bin/prlimit"))("finds no descriptors", async () => {
		const limit = (soft: string) =>
			execFileSync("prlimit", ["--pid", String(process.pid), `--nofile=${soft}:`]);
		const before = descriptors();
		limit(String(before + 50));
		const files = [];
		try {
			try {
				for (;;) files.push(await open("/dev/null"));
			} catch {}
			for (let count = 0; count < 5; count++) {
				const error = await refusal({ command: "/bin/cat" });
				expect(error.message).toBe("qq temporary problem (#4.3.0)");
				expect(error.cause).toMatchObject({ code: "EMFILE" });
			}
		} finally {
			await Promise.all(files.map((file) => file.close()));
			limit("4096");
		}
		expect(descriptors()).toBeLessThanOrEqual(before);
	});

	it.each(["EAGAIN", "ENOMEM", "ENFILE"])("is not forked: %s", async (code) => {
		const cause = Object.assign(new Error(code), { code });
		expect(await startError(cause, home.path)).toMatchObject({
			message: "qq temporary problem (#4.3.0)",
			cause,
		});
	});

	it("leaves no descriptors", async () => {
		const before = descriptors();
		for (let count = 0; count < 50; count++) {
			await refusal({ command: "./none" });
			await refusal({ command: "cat", environment: () => ({ LONG: "x".repeat(300_000) }) });
		}
		expect(descriptors()).toBeLessThanOrEqual(before);
	});
});

describe("prepare", () => {
	it("finds what can be started, and starts nothing", async () => {
		const queue = home.queue("echo >started");
		await queue.prepare();
		await expect(home.text("started")).rejects.toThrow("ENOENT");
		await qmailQueue({ command: "./qmail-queue", home: home.path }).prepare();
		await qmailQueue({ command: ["sh", "-c", "exit 31"], home: home.path }).prepare();
	});
});

/** The table of qmail-qmtpd. */
function meaningOf(code: number): string {
	if (code === 0) return "Kok T qp P";
	if (code === 11 || code === 115) return "Denvelope address too long for qq (#5.1.3)";
	if (code === 31) return "Dmail server permanently rejected message (#5.3.0)";
	if (code >= 12 && code <= 40) return "Dqq permanent problem (#5.3.0)";
	if (code >= 62 && code <= 66) return "Zqq trouble creating files in queue (#4.3.0)";
	if (code === 81 || code === 91) return "Zqq internal bug (#4.3.0)";
	return OTHER_MEANINGS[code] ?? "Zqq temporary problem (#4.3.0)";
}

const OTHER_MEANINGS: Readonly<Record<number, string>> = {
	51: "Zqq out of memory (#4.3.0)",
	52: "Zqq timeout (#4.3.0)",
	53: "Zqq write error or disk full (#4.3.0)",
	54: "Zqq read error (#4.3.0)",
	55: "Zqq unable to read configuration (#4.3.0)",
	56: "Zqq trouble making network connection (#4.3.0)",
	61: "Zqq trouble in home directory (#4.3.0)",
	71: "Zmail server temporarily rejected message (#4.3.0)",
	72: "Zconnection to mail server timed out (#4.4.1)",
	73: "Zconnection to mail server rejected (#4.4.1)",
	74: "Zcommunication with mail server failed (#4.4.2)",
	120: "Zunable to exec qq (#4.3.0)",
};

/** A package has one id: whatever tells of it, to whomever, names it by the same digits. */
import { tracingChannel } from "node:diagnostics_channel";
import { join } from "node:path";
import { afterEach, expect, onTestFinished, test, vi } from "vitest";
import { follow, openLog } from "../src/cli/log.js";
import { QmtpClient } from "../src/client/client.js";
import { maildirQueue } from "../src/queue/maildir.js";
import type { Queue } from "../src/queue/queue.js";
import { acceptAnyone } from "../src/server/hooks.js";
import { QmtpServer } from "../src/server/server.js";
import { withDirectory } from "./support/program.js";

afterEach(() => {
	vi.restoreAllMocks();
});

test("hooks, queue, events, channel, logs and the client's K name a package by one id", async () => {
	await withDirectory(async (directory) => {
		const seen = new Map<string, string>(); // where an id was seen, and which
		const see = (where: string, id: string): undefined => {
			expect(seen.has(where), where).toBe(false);
			seen.set(where, id);
		};
		const maildir = maildirQueue({ path: join(directory, "mail") });
		const queue: Queue = {
			open(message) {
				see("queue", message.id);
				return maildir.open(message);
			},
		};
		const server = new QmtpServer({
			queue,
			hooks: {
				message: ({ id }) => see("message hook", id),
				sender: (_, { id }) => see("sender hook", id),
				recipient(address, { id }) {
					if (address === "taken@example.com") return acceptAnyone();
					see("recipient hook", id);
					throw new Error("no such table");
				},
			},
		});
		server.on("package", ({ message }) => see("package event", message.id));
		server.on("fault", (_, { message }) => see("fault event", message?.id ?? ""));
		const listener = (trace: unknown) => see("channel", (trace as { message: { id: string } }).message.id);
		const channel = tracingChannel("qmtp:server:package");
		channel.asyncEnd.subscribe(listener);
		onTestFinished(() => void channel.asyncEnd.unsubscribe(listener));
		let log = "";
		vi.spyOn(process.stderr, "write").mockImplementation((text) => {
			log += text;
			return true;
		});
		for (const kind of ["text", "json", "tcpserver"]) follow(server, openLog(kind, "mx.example.com"));

		const { port } = await server.listen({ port: 0, host: "127.0.0.1" });
		const client = new QmtpClient({ port });
		const result = await client.send({
			sender: "me@example.org",
			recipients: ["taken@example.com", "broken@example.com"],
			message: "hello\n",
		});
		await client.close();
		await server.close();
		await maildir.close();
		vi.restoreAllMocks();

		expect(result.responses.map(({ status }) => status)).toEqual(["K", "Z"]);
		see("K", /^ok \d+ qp (\d+)$/.exec(result.responses[0]?.description ?? "")?.[1] ?? "");
		const inLog = (pattern: RegExp) => pattern.exec(log)?.[1] ?? `not in ${log}`;
		see("text log", inLog(/^package=(\d+) /m));
		see("fault in the text log", inLog(/^fault package=(\d+) /m));
		see("JSON log", inLog(/^\{.*"event":"package".*"package":"(\d+)"/m));
		see("fault in the JSON log", inLog(/^\{.*"event":"fault".*"package":"(\d+)"/m));
		see("log like tcpserver's", inLog(/^qmtp: package=(\d+) /m));
		see("fault in the log like tcpserver's", inLog(/^qmtp: fault package=(\d+) /m));
		expect([...new Set(seen.values())]).toEqual([expect.stringMatching(/^\d{10,}$/)]);
		expect(seen.size).toBe(14);
	});
});

test("the next package has another one, on any connection and any server of the process", async () => {
	const ids: string[] = [];
	const mail = { sender: "me@example.org", recipients: ["you@example.com"], message: "hello\n" };
	await withDirectory(async (directory) => {
		const queue = maildirQueue({ path: join(directory, "mail") });
		for (let door = 0; door < 2; door++) {
			const server = new QmtpServer({ queue, hooks: { recipient: acceptAnyone } });
			const { port } = await server.listen({ port: 0, host: "127.0.0.1" });
			for (let connection = 0; connection < 2; connection++) {
				const client = new QmtpClient({ port });
				const results = await Promise.all([client.send(mail), client.send(mail)]);
				for (const { responses } of results) ids.push(responses[0]?.description.split(" ").at(-1) ?? "");
				await client.close();
			}
			await server.close();
		}
		await queue.close();
	});
	expect(new Set(ids).size).toBe(8);
	for (const id of ids) expect(id).toMatch(/^\d+$/);
});

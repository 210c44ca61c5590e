/** Calls that nobody looks at: what they are rejected with must not end the process. */
import { tracingChannel } from "node:diagnostics_channel";
import { expect, onTestFinished, test } from "vitest";
import type { QmtpClient } from "../../src/client/client.js";
import { mail, statuses } from "../support/client-mail.js";
import { noUnhandledRejections } from "../support/client-rejections.js";
import { acceptingServer } from "../support/client-server.js";
import { turns } from "../support/server-signal.js";

noUnhandledRejections(); // which is what each of these tests is about

const calls: Record<string, (client: QmtpClient) => unknown> = {
	"for misuse": (client) => client.send(mail({ recipients: [] })),
	"for a message that is none": (client) => client.send(mail({ message: 5 as never })),
	"for a file that is not there": (client) => client.send(mail({ message: { path: "/nowhere/at/all" } })),
	"by its signal, before": (client) => client.send(mail(), { signal: AbortSignal.abort(new Error("no")) }),
	"by its signal, meanwhile": (client) => {
		const controller = new AbortController();
		client.send(mail(), controller);
		controller.abort(new Error("no"));
	},
};

test.each(Object.keys(calls))("rejected %s", async (kind) => {
	const server = await acceptingServer();
	const client = server.client();
	calls[kind]?.(client);
	await turns();
	expect(statuses(await client.send(mail()))).toBe("K");
});

test("rejected since there is no connection", async () => {
	const server = await acceptingServer();
	server.stopListening();
	const client = server.client();
	client.send(mail());
	await client.close();
	expect(server.connections).toHaveLength(0);
});

test("rejected while somebody traces it", async () => {
	const listeners = { error: () => {} } as never;
	const traced = tracingChannel("qmtp:client:send");
	traced.subscribe(listeners);
	onTestFinished(() => void traced.unsubscribe(listeners));
	const server = await acceptingServer();
	const client = server.client();
	client.send(mail({ recipients: [] }));
	await turns();
	expect(statuses(await client.send(mail()))).toBe("K");
});

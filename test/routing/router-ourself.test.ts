/** This host among the exchanges of a domain: known by its own addresses, mail must not be sent to it in circles. */
import type * as os from "node:os";
import { expect, onTestFinished, test, vi } from "vitest";
import { MailRouter } from "../../src/routing/router.js";
import type { MxRecord } from "../../src/routing/routes.js";

const OWN = "192.0.2.25";

vi.mock("node:os", async (original) => ({
	...(await original<typeof os>()),
	networkInterfaces: () => ({
		eth0: [{ address: OWN, internal: false }],
		lo: [{ address: "127.0.0.1", internal: true }],
	}),
}));

/** What becomes of mail for a domain with these exchanges, of which `backup` is this host. */
async function deliver(records: readonly MxRecord[], ports?: { smtp: number }) {
	const router = new MailRouter({
		hostname: "other.example",
		timeouts: { connect: 200 },
		...(ports === undefined ? {} : { ports }),
		resolver: {
			mx: async () => records,
			addresses: async (host) =>
				host === "backup.example" ? [OWN] : host === "none.example" ? [] : ["127.9.9.9"],
		},
	});
	onTestFinished(() => router.close());
	const mail = { sender: "me@example.org", recipients: ["you@example.com"], message: "x\n" };
	const [result] = (await router.deliver(mail)).responses;
	return {
		status: result?.status,
		description: result?.description,
		tried: result?.tried.map(({ host }) => host),
	};
}

test("as the best exchange it is a D, as qmail-remote says it", async () => {
	const result = await deliver([
		{ exchange: "backup.example", preference: 10 },
		{ exchange: "worse.example", preference: 20 },
	]);
	expect(result).toMatchObject({ status: "D", description: expect.stringContaining("#5.4.6"), tried: [] });
});

test("as a backup it ends the list: mail waits for the better ones, and worse ones are not tried", async () => {
	const result = await deliver([
		{ exchange: "none.example", preference: 10 },
		{ exchange: "backup.example", preference: 20 },
		{ exchange: "worse.example", preference: 30 },
	]);
	expect(result.tried).toEqual(["none.example"]);
});

test("another port of its address may be another server", async () => {
	const result = await deliver([{ exchange: "backup.example", preference: 10 }], { smtp: 1 });
	expect(result).toMatchObject({ status: "Z", tried: ["backup.example"] });
});

/** `relayForCertificates`: whose certificate lets relay. */
import type { ConnectionOptions } from "node:tls";
import { describe, expect, test } from "vitest";
import type { Peer, PeerTls } from "../../src/protocol/peer.js";
import { relayForCertificates } from "../../src/server/certificates.js";
import { Bench, PEER } from "../support/server-bench.js";
import { mail } from "../support/server-client.js";
import { describeWithCertificates, tlsClient } from "../support/tls-bench.js";
import { selfSigned, type TestCertificate } from "../support/tls-certificates.js";

const FINGERPRINT = Array.from({ length: 32 }, (_, index) => (index + 160).toString(16).toUpperCase()).join(
	":",
);

function peer(tls: Partial<PeerTls>): Peer {
	const none = { authorized: false, subject: null, names: [], fingerprint256: null };
	return { ...PEER, tls: { ...none, protocol: "TLSv1.3", cipher: "TLS_AES_256_GCM_SHA384", ...tls } };
}

describe("relayForCertificates", () => {
	const known = peer({ fingerprint256: FINGERPRINT, subject: "client.test", names: ["one.client.test"] });
	const authorized = peer({ ...known.tls, authorized: true });

	test.each([
		["with colons", FINGERPRINT],
		["without", FINGERPRINT.replaceAll(":", "")],
		["in small letters", FINGERPRINT.toLowerCase()],
	])("a fingerprint, %s, is enough", (_, fingerprint) => {
		expect(relayForCertificates([fingerprint])(known)).toEqual({ relay: true });
		expect(relayForCertificates(["other.test", fingerprint])(authorized)).toEqual({ relay: true });
	});

	test.each(["client.test", "CLIENT.test", "one.client.test"])(
		"the name %s counts if it is vouched for",
		(name) => {
			expect(relayForCertificates([name])(authorized)).toEqual({ relay: true });
			expect(relayForCertificates([name])(known)).toBe(true);
		},
	);

	test("all others may talk, and not relay", () => {
		const hook = relayForCertificates([FINGERPRINT.replace("A0", "A1"), "two.client.test", "test"]);
		for (const other of [PEER, peer({}), known, authorized]) expect(hook(other)).toBe(true);
		expect(relayForCertificates([])(authorized)).toBe(true);
		expect(relayForCertificates(["client.test"])(peer({ authorized: true }))).toBe(true);
	});

	test.each(["", " ", "A0:A1", "da39a3ee5e6b4b0d3255bfef95601890afd80709", `${FINGERPRINT}:00`, 7])(
		"%j is neither a fingerprint nor a name",
		(entry) => {
			expect(() => relayForCertificates([entry as string])).toThrow(
				expect.objectContaining({ name: "UsageError", code: "ERR_QMTP_OPTION" }),
			);
		},
	);
});

describeWithCertificates("relayForCertificates at a server", (made) => {
	/** Whether a client may send anywhere. */
	async function relays(
		entry: string,
		certificate?: TestCertificate,
		more: ConnectionOptions = {},
	): Promise<unknown> {
		const bench = new Bench({
			tls: { ...made.server, ca: made.ca.cert, requestCert: true, rejectUnauthorized: false },
			hooks: { authorize: relayForCertificates([entry]), recipient: undefined as never },
		});
		const client = await tlsClient(bench, { ca: made.ca.cert, ...certificate, ...more });
		client.end(mail());
		const [answer = ""] = await client.all();
		return answer.slice(0, 1);
	}

	async function fingerprintOf({ cert }: TestCertificate): Promise<string> {
		const { X509Certificate } = await import("node:crypto");
		return new X509Certificate(cert).fingerprint256;
	}

	test("a certificate of the server's authority, by any of its names and by its fingerprint", async () => {
		for (const name of [
			"client.test",
			"one.client.test",
			"two.client.test",
			await fingerprintOf(made.client),
		]) {
			expect(await relays(name, made.client)).toBe("K");
			expect(await relays(name, made.client, { maxVersion: "TLSv1.2" })).toBe("K");
			expect(await relays(name)).toBe("D");
		}
	});

	test("a session that is resumed counts as the one it was, until the server's context is another", async () => {
		const bench = new Bench({
			tls: { ...made.server, ca: made.ca.cert, requestCert: true, rejectUnauthorized: false },
			hooks: { authorize: relayForCertificates(["client.test"]), recipient: undefined as never },
		});
		const options = { ca: made.ca.cert, ...made.client };
		const first = await tlsClient(bench, options);
		let session: Buffer | undefined;
		first.socket.on("session", (given) => {
			session = given;
		});
		first.end(mail());
		expect(await first.all()).toEqual(["Kok"]);
		await bench.disconnected();
		const again = await tlsClient(bench, { ca: made.ca.cert, session: session as Buffer });
		expect(again.socket.isSessionReused()).toBe(true);
		again.end(mail());
		expect(await again.all()).toEqual(["Kok"]);
		expect((await bench.disconnected(2)).peer.tls).toMatchObject({
			authorized: true,
			subject: "client.test",
		});
		bench.server.updateSecureContext({ ca: (await selfSigned("another authority")).cert });
		const later = await tlsClient(bench, { ...options, session: session as Buffer });
		expect(later.socket.isSessionReused()).toBe(false);
		later.end(mail());
		expect((await later.all())[0]).toMatch(/^D/);
	});

	test("one that signed itself, by its fingerprint alone", async () => {
		const own = await selfSigned("client.test");
		expect(await relays("client.test", own)).toBe("D");
		expect(await relays(await fingerprintOf(own), own)).toBe("K");
	});

	test("one that has expired, by its fingerprint alone", async () => {
		const expired = await made.ca.issue({ name: "client.test", days: -1 });
		expect(await relays("client.test", expired)).toBe("D");
		expect(await relays(await fingerprintOf(expired), expired)).toBe("K");
	});

	test("a name that pretends to be a list of names is none", async () => {
		for (const kind of ["DNS", "email", "URI"]) {
			const names = `@names\n[names]\n${kind}.1 = "x, DNS:one.client.test, DNS:y"\nDNS.2 = z.test`;
			const sly = await made.ca.issue({ name: "sly.test", names });
			expect(await relays("one.client.test", sly)).toBe("D");
			expect(await relays("z.test", sly)).toBe("K");
		}
	});

	test("certificates without names and with several", async () => {
		const nameless = await made.ca.issue({ name: "", names: "IP:192.0.2.1" });
		expect(await relays("192.0.2.1", nameless)).toBe("D");
		const twice = await made.ca.issue({ name: "a.test/CN=b.test" });
		expect(await relays("a.test", twice)).toBe("D");
		expect(await relays("b.test", twice)).toBe("D");
	});
});

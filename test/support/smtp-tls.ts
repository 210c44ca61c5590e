/** npm's smtp-server for tests of the client: a server that others wrote, with TLS. */
import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { SMTPServer } from "smtp-server";
import { onTestFinished } from "vitest";
import { withDirectory } from "./program.js";
import type { ReceivedMail } from "./smtp-peer.js";

/** A certificate that signed itself, and its key, in PEM. */
export interface TestCertificate {
	readonly cert: string;
	readonly key: string;
}

/** A certificate for a host's name, made by openssl. */
export async function certificate(host: string): Promise<TestCertificate> {
	let made: TestCertificate | undefined;
	await withDirectory(async (directory) => {
		const [cert, key] = [join(directory, "cert.pem"), join(directory, "key.pem")];
		const kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"];
		const names = ["-subj", `/CN=${host}`, "-addext", `subjectAltName=DNS:${host}`];
		await promisify(execFile)("openssl", ["req", "-x509", ...kind, ...names, "-keyout", key, "-out", cert]);
		made = { cert: await readFile(cert, "utf8"), key: await readFile(key, "utf8") };
	});
	return made as TestCertificate;
}

/** A message as it came, and whether that was by TLS. */
export interface SecureMail extends ReceivedMail {
	readonly secure: boolean;
}

/** A server that offers STARTTLS with this certificate; without one, none. It stops when the test is over. */
export async function npmServer(
	tls?: TestCertificate,
): Promise<{ readonly port: number; readonly messages: SecureMail[] }> {
	const messages: SecureMail[] = [];
	const server = new SMTPServer({
		...tls,
		...(tls === undefined ? { disabledCommands: ["AUTH", "STARTTLS"] } : { disabledCommands: ["AUTH"] }),
		authOptional: true,
		disableReverseLookup: true,
		logger: false,
		onRcptTo: (address, _session, callback) =>
			address.address.startsWith("no-") ? callback(new Error("not here")) : callback(),
		onData: async (stream, session, callback) => {
			const chunks: Buffer[] = [];
			for await (const chunk of stream) chunks.push(chunk);
			const { mailFrom, rcptTo } = session.envelope;
			messages.push({
				mail: mailFrom === false ? "" : mailFrom.address,
				rcpt: rcptTo.map(({ address }) => address),
				data: Buffer.concat(chunks).toString("latin1"),
				secure: session.secure,
			});
			callback();
		},
	});
	server.on("error", () => {}); // a handshake that fails is one
	await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
	onTestFinished(() => new Promise<void>((resolve) => server.close(() => resolve())));
	const { port } = server.server.address() as { port: number };
	return { port, messages };
}

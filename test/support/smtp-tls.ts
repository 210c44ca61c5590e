/** npm's smtp-server for tests of the client: a server that others wrote, with TLS. */
import { SMTPServer } from "smtp-server";
import { onTestFinished } from "vitest";
import type { ReceivedMail } from "./smtp-peer.js";
import type { TestCertificate } from "./tls-certificates.js";

export { selfSigned as certificate, type TestCertificate } from "./tls-certificates.js";

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

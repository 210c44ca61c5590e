/** What a client with TLS does to the life of its process, which is a program of its own here, from the compiled package. */
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { certificates } from "../support/tls-bench.js";
import { describeWithOpenssl } from "../support/tls-certificates.js";
import { ScriptedTlsServer } from "../support/tls-server.js";

const compiled = new URL("../../dist/index.js", import.meta.url);

describeWithOpenssl("a program whose client speaks TLS", () => {
	// Below the idle timeout, so that one that does not end by itself fails.
	test.skipIf(!existsSync(compiled))(
		"ends when its mail is answered, although its connection is open",
		{ timeout: 40_000 },
		async () => {
			const made = await certificates();
			const server = await ScriptedTlsServer.start(made.server, (connection) => connection.answerAll());
			const code = `
			import { QmtpClient } from ${JSON.stringify(compiled.href)};
			const client = new QmtpClient({ port: ${server.port}, tls: { ca: process.env.CA } });
			const mail = { sender: "", recipients: ["rcpt@example.com"], message: "hello\\n" };
			console.log((await client.send(mail)).accepted.length);`;
			const args = ["--input-type=module", "--eval", code];
			const { stdout } = await promisify(execFile)(process.execPath, args, {
				env: { ...process.env, CA: made.ca.cert },
			});
			expect(stdout).toBe("1\n");
		},
	);
});

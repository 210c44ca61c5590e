/** The client as a part of a process, from dist: `npm test` builds it first. */
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { SmtpTestServer } from "../support/smtp-peer.js";
import { certificate, npmServer } from "../support/smtp-tls.js";

const compiled = new URL("../../dist/smtp/client.js", import.meta.url);

/** Sends a message and does nothing more: what its process writes, once it has ended by itself. */
async function output(port: number): Promise<string> {
	const program = `
		import { SmtpClient } from ${JSON.stringify(compiled)};
		import { bytesBody } from ${JSON.stringify(new URL("../../dist/body/body.js", import.meta.url))};
		const client = new SmtpClient({ host: "127.0.0.1", port: ${port} });
		const body = bytesBody(Buffer.from("hello"));
		const [{ status }] = await client.send({ sender: "", recipients: ["a@x"], body, encoding: "lf" });
		console.log(status);`;
	const args = ["--input-type=module", "--eval", program];
	return (await promisify(execFile)(process.execPath, args, { timeout: 30_000 })).stdout;
}

test("a process with an idle connection can end, in plain text and by TLS", async (context) => {
	if (!existsSync(compiled)) context.skip("the package is not compiled: npm run build");
	expect(await output((await SmtpTestServer.start({})).port)).toBe("K\n");
	const server = await npmServer(await certificate("mx.test"));
	expect(await output(server.port)).toBe("K\n");
	expect(server.messages[0]?.secure).toBe(true);
});

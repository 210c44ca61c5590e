import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, readFile, symlink } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { QmtpClient } from "../../src/client/client.js";
import { withDirectory } from "../support/program.js";
import { hopOnPort, startHop } from "../support/relay-mail.js";

const root = fileURLToPath(new URL("../..", import.meta.url));

test("the code of docs/relay.md takes mail and delivers it", async () => {
	const page = await readFile(join(root, "docs", "relay.md"), "utf8");
	const [, code = ""] = /^```js\n(.*?)^```$/ms.exec(page) ?? [];
	const hop = await startHop();
	const { port } = await hopOnPort(); // a free one
	await withDirectory(async (cwd) => {
		await mkdir(join(cwd, "node_modules"));
		await symlink(root, join(cwd, "node_modules", "qmtp"));
		const module = code.replace("2209", String(hop.port)).replace("2210", String(port));
		const child = spawn(process.execPath, ["--input-type=module", "--eval", module], { cwd, stdio: "pipe" });
		const output = { stdout: "", stderr: "" };
		const exited = once(child, "close");
		child.stderr.on("data", (text) => {
			output.stderr += text;
		});
		const ready = once(child.stdout, "data");
		await Promise.race([ready, exited.then(() => Promise.reject(new Error(output.stderr)))]);
		child.stdout.on("data", (text) => {
			output.stdout += text;
		});
		const client = new QmtpClient({ port });
		const mail = {
			sender: "me@example.org",
			recipients: ["you@example.com"],
			message: "Subject: hi\n\nhi\n",
		};
		expect((await client.send(mail)).accepted).toEqual(["you@example.com"]);
		await client.close();
		await hop.until(1);
		child.kill("SIGTERM");
		expect((await exited)[0]).toBe(0);
		expect(output.stderr).toBe("");
		expect(output.stdout).toMatch(/^\d+ you@example\.com ok \d+ qp \d+\n$/);
	});
	for (const name of ["concurrency", "perDestination", "waiting", "messages", "bytes", "step", "firstRest"]) {
		expect(page).toContain(`\`${name}\``);
	}
});

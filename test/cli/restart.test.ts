/** `qmtp serve` restarted under load: nobody is turned away meanwhile, and what had a K is there. */

import { once } from "node:events";
import { readdir } from "node:fs/promises";
import { type AddressInfo, createServer } from "node:net";
import { join } from "node:path";
import nodemailer from "nodemailer";
import { afterEach, describe, expect, test } from "vitest";
import { SocketHolder } from "../../benchmarks/restart/holder.js";
import { RestartLoad } from "../../benchmarks/restart/load.js";
import { type RestartWay, restart } from "../../benchmarks/restart/restarts.js";
import { newSeed, Random } from "../../benchmarks/soak/random.js";
import { copiesAt } from "../support/faults-mails.js";
import { describeWithPrograms, findProgram } from "../support/peers.js";
import { startProcess } from "../support/processes.js";
import { MAIN, run, withDirectory } from "../support/program.js";

const RESTARTS = 20;
const CLIENTS = 3;
const AT_ONCE = 5; // messages of each

describeWithPrograms("a server that is restarted", { perl: "perl-base" }, () => {
	let holder: SocketHolder | undefined;
	afterEach(() => holder?.close());

	test.each<{ way: RestartWay; workers: readonly string[]; times: number }>([
		{ way: "overlap", workers: [], times: RESTARTS },
		{ way: "in turn", workers: [], times: RESTARTS },
		{ way: "overlap", workers: ["--workers", "2"], times: 3 },
	])(
		"$times times, $way, $workers, turns no client away and loses nothing that it accepted",
		{
			timeout: 120_000,
		},
		async ({ way, workers, times }) => {
			const seed = newSeed();
			await withDirectory(async (directory) => {
				const maildir = join(directory, "mail");
				const command = [process.execPath, MAIN, "serve", "--queue", `maildir:${maildir}`, ...workers];
				holder = await SocketHolder.open(command);
				const first = await holder.start(way === "overlap" ? "fd" : "systemd");
				const load = new RestartLoad(holder.port, new Random(seed), AT_ONCE);
				const running = load.run(CLIENTS);
				await load.moreAccepted(AT_ONCE);
				const last = await restart(holder, first, {
					way,
					times,
					restarted: () => load.moreAccepted(CLIENTS * AT_ONCE),
				});
				load.end();
				await running;
				expect(await last.end()).toBe(0);

				expect(load.refused, `seed ${seed}`).toEqual([]);
				expect(load.unexpected, `seed ${seed}`).toEqual([]);
				const stored = new Set(await copiesAt(maildir, await readdir(join(maildir, "new"))));
				const lost = load.accepted.filter((id) => !stored.has(`${id} rcpt@example.com`));
				expect(lost, `K, and not there; seed ${seed}`).toEqual([]);
				expect(await readdir(join(maildir, "tmp"))).toEqual([]);
			});
		},
	);
});

describeWithPrograms("systemd-socket-activate", { "systemd-socket-activate": "systemd" }, () => {
	const activate = findProgram("systemd-socket-activate") as string;

	async function freePort(): Promise<number> {
		const listener = createServer().listen(0, "127.0.0.1");
		await once(listener, "listening");
		const { port } = listener.address() as AddressInfo;
		listener.close();
		return port;
	}

	describe.each([["alone", []] as const, ["with workers", ["--workers", "2"]] as const])(
		"%s",
		(_, workers) => {
			test("hands over its sockets by their names, and the first connection is served", async () => {
				await withDirectory(async (directory) => {
					const [qmtp, smtp] = [await freePort(), await freePort()];
					const sockets = ["-l", `127.0.0.1:${smtp}`, "-l", `127.0.0.1:${qmtp}`, "--fdname=smtp:qmtp"];
					const command = [process.execPath, MAIN, "serve", "--accept", "example.com", ...workers];
					const server = startProcess(activate, [...sockets, ...command], { cwd: directory });
					try {
						await server.until(/Listening on .*\n.*Listening on /);
						const to = ["--sender", "", "--recipient", "you@example.com"];
						const sent = await run(["send", "--port", String(qmtp), ...to], { input: "hello\n" });
						expect(sent).toMatchObject({ code: 0, stderr: "" });
						expect(server.output()).toContain(
							`listening on 127.0.0.1:${qmtp}\nlistening on 127.0.0.1:${smtp} for SMTP\n`,
						);
						const transport = nodemailer.createTransport({ host: "127.0.0.1", port: smtp });
						const mail = { from: "me@example.org", to: "you@example.com", text: "hello" };
						expect((await transport.sendMail(mail)).response).toMatch(/^250 /);
						transport.close();
						expect(await readdir(join(directory, "mail", "new"))).toHaveLength(2);
					} finally {
						await server.stop();
					}
					expect(server.child.exitCode).toBe(0);
				});
			});
		},
	);
});

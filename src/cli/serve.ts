/** `qmtp serve`: a server with a queue behind it. */
import cluster from "node:cluster";
import type { Arguments, Command } from "./command.js";
import { serveAlone } from "./serve/alone.js";
import { SERVE_NOTES, SERVE_OPTIONS } from "./serve/options.js";
import { type ServeSettings, serveSettings } from "./serve/settings.js";
import { takeActivation } from "./serve/sockets.js";

export const serve: Command = {
	name: "serve",
	summary: "Takes mail over QMTP and puts it into a queue.",
	operands: "",
	options: SERVE_OPTIONS,
	notes: SERVE_NOTES,
	run: runServe,
};

async function runServe(args: Arguments): Promise<number> {
	const settings = serveSettings(args, takeActivation());
	if (settings.tls === null && !cluster.isWorker) sayOnHangUp(settings);
	if (settings.workers === 0) return serveAlone(settings);
	if (cluster.isPrimary) return (await import("./serve/workers/primary.js")).serveByWorkers(settings);
	return (await import("./serve/workers/worker.js")).serveAsWorker(settings);
}

/** Without TLS there is nothing to read again. It must not end the server, as it would if nobody listened. */
function sayOnHangUp({ log }: ServeSettings): void {
	process.on("SIGHUP", () => log.note("SIGHUP: there are no certificates to read again"));
}

/** `qmtp serve`: a server with a queue behind it. */
import type { AddressInfo } from "node:net";
import { recipientDomains, type ServerHooks } from "../server/hooks.js";
import type { ServerLimits } from "../server/options.js";
import type { DisconnectReport, PackageReport } from "../server/reports.js";
import { QmtpServer } from "../server/server.js";
import { type Arguments, type Command, DONE, SIGNALS, wholeNumber } from "./command.js";
import { networks } from "./networks.js";
import { printable } from "./printable.js";
import { openQueue, QUEUE_SYNTAX } from "./queues.js";

export const serve: Command = {
	name: "serve",
	summary: "Takes mail over QMTP and puts it into a queue.",
	operands: "",
	options: {
		host: { value: "ADDRESS", help: "address to listen on", fallback: "127.0.0.1" },
		port: { value: "PORT", help: "port to listen on; 0 picks a free one", fallback: "2209" },
		queue: { value: "QUEUE", help: `where mail goes: ${QUEUE_SYNTAX}`, fallback: "maildir:./mail" },
		hostname: { value: "NAME", help: "this host's name in Received fields", fallback: "the system's" },
		accept: {
			value: "DOMAIN",
			multiple: true,
			help: "take mail for this domain from anybody; .DOMAIN: for all below it",
		},
		"relay-from": {
			value: "CIDR",
			multiple: true,
			help: "take mail for any domain from these addresses",
			fallback: "127.0.0.0/8 and ::1",
		},
		"max-message-bytes": { value: "N", help: "largest message body", fallback: "104857600" },
		"max-connections": { value: "N", help: "connections at once", fallback: "61" },
	},
	notes: [
		"Prints `listening on HOST:PORT` when it is ready, and one line for each connection and package on stderr.",
		"SIGTERM and SIGINT end it when the packages under way are answered; a second one ends it at once.",
	],
	run: runServe,
};

async function runServe(args: Arguments): Promise<number> {
	const port = wholeNumber(args, "port", 0, 65535) ?? 2209;
	const hooks = hooksOf(args);
	const limits = limitsOf(args);
	const hostname = args.one("hostname");
	const queue = await openQueue(args.one("queue") ?? "maildir:./mail");
	const server = new QmtpServer({ queue, hooks, limits, ...(hostname === undefined ? {} : { hostname }) });
	server.on("package", (report) => log(packageLine(report)));
	server.on("disconnect", (report) => log(connectionLine(report)));
	server.on("fault", (error, { message }) => {
		log(
			`fault${message === undefined ? "" : ` package=${message.id}`} ${printable(error.message)}${causes(error)}`,
		);
	});
	const ended = untilSignal(server);
	const address = await server.listen({ host: args.one("host") ?? "127.0.0.1", port });
	process.stdout.write(`listening on ${hostAndPort(address)}\n`);
	await ended;
	await queue.close?.();
	return DONE;
}

function hooksOf(args: Arguments): ServerHooks {
	const given = args.all("relay-from");
	const mayRelay = networks("relay-from", given.length > 0 ? given : ["127.0.0.0/8", "::1"]);
	const accept = args.all("accept");
	const authorize = ({ remoteAddress }: { remoteAddress: string }) => ({ relay: mayRelay(remoteAddress) });
	return accept.length > 0 ? { authorize, recipient: recipientDomains(accept) } : { authorize };
}

function limitsOf(args: Arguments): Partial<ServerLimits> {
	const messageBytes = wholeNumber(args, "max-message-bytes", 0, Number.MAX_SAFE_INTEGER);
	const connections = wholeNumber(args, "max-connections", 1, 1_000_000);
	return {
		...(messageBytes === undefined ? {} : { messageBytes }),
		...(connections === undefined ? {} : { connections }),
	};
}

/** Resolves when a signal has ended the server. */
function untilSignal(server: QmtpServer): Promise<void> {
	return new Promise((resolve, reject) => {
		let signals = 0;
		// One listener for all signals: one that comes while listeners are exchanged is lost.
		const onSignal = (signal: NodeJS.Signals) => {
			if (++signals > 1) return server.destroy();
			log(`${signal}: finishing ${server.connections} connections`);
			server.close().then(resolve, reject);
		};
		for (const name of SIGNALS) process.on(name, onSignal);
	});
}

function packageLine({ message, sender, recipients, responses, bodyBytes }: PackageReport): string {
	const count = (status: string) => responses.filter((response) => response.status === status).length;
	const shown = recipients.slice(0, SHOWN_RECIPIENTS).map((recipient) => `<${recipient ?? "?"}>`);
	const more = recipients.length > shown.length ? ` (+${recipients.length - shown.length} more)` : "";
	const refusal = responses.find(({ status }) => status !== "K");
	return [
		`package=${message.id} peer=${message.peer.remoteAddress}:${message.peer.remotePort}`,
		`from=${printable(`<${sender ?? "?"}>`)} to=${printable(shown.join(","))}${more} bytes=${bodyBytes}`,
		`K=${count("K")} Z=${count("Z")} D=${count("D")}`,
		...(refusal === undefined ? [] : [`refusal="${printable(refusal.description)}"`]),
	].join(" ");
}

function connectionLine({ peer, packages, error }: DisconnectReport): string {
	const end = error === undefined ? "end=closed" : `end="${printable(error.message)}"`;
	return `connection peer=${peer.remoteAddress}:${peer.remotePort} packages=${packages} ${end}`;
}

function causes(error: Error): string {
	return error.cause instanceof Error ? `: ${printable(error.cause.message)}` : "";
}

function hostAndPort({ address, family, port }: AddressInfo): string {
	return family === "IPv6" ? `[${address}]:${port}` : `${address}:${port}`;
}

function log(line: string): void {
	process.stderr.write(`${line}\n`);
}

const SHOWN_RECIPIENTS = 3;

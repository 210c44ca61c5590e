/** `qmtp serve`: a server with a queue behind it. */

import type { AddressInfo } from "node:net";
import { hostname as systemHostname } from "node:os";
import { ControlDirectory } from "../access/control.js";
import { RulesFile } from "../access/rules-file.js";
import { QmtpServer } from "../server/server.js";
import { type Arguments, type Command, DONE, SIGNALS, wholeNumber } from "./command.js";
import { follow, LOG_SYNTAX, type Log, openLog } from "./log.js";
import { networks } from "./networks.js";
import { userSwitch } from "./privileges.js";
import { namedQueue, prepareQueue, QUEUE_SYNTAX } from "./queues.js";
import { type AccessSources, accessHooks, prepareAccess } from "./serve/access.js";

export const serve: Command = {
	name: "serve",
	summary: "Takes mail over QMTP and puts it into a queue.",
	operands: "",
	options: {
		host: { value: "ADDRESS", help: "address to listen on", fallback: "127.0.0.1" },
		port: { value: "PORT", help: "port to listen on; 0 picks a free one", fallback: "2209" },
		queue: { value: "QUEUE", help: `where mail goes: ${QUEUE_SYNTAX}`, fallback: "maildir:./mail" },
		hostname: {
			value: "NAME",
			help: "this host's name in Received fields",
			fallback: "control/me or the system's",
		},
		accept: {
			value: "DOMAIN",
			multiple: true,
			help: "take mail for this domain from anybody; .DOMAIN: for all below it",
		},
		"relay-from": {
			value: "CIDR",
			multiple: true,
			help: "take mail for any domain from these addresses",
			fallback: "127.0.0.0/8 and ::1; none with --rules",
		},
		rules: { value: "FILE", help: "who may connect and relay: tcprules, as text or as the .cdb made of it" },
		control: { value: "DIR", help: "qmail's control files: me, databytes, rcpthosts, morercpthosts.cdb" },
		"max-message-bytes": { value: "N", help: "largest message body", fallback: "104857600" },
		"max-connections": { value: "N", help: "connections at once", fallback: "61" },
		user: { value: "NAME", help: "become this user once the port is bound; for root" },
		log: { value: "FORMAT", help: `what the log looks like: ${LOG_SYNTAX}`, fallback: "text" },
	},
	notes: [
		"Prints `listening on HOST:PORT` when it is ready; the log goes to stderr. Rules and control files are read again",
		"when they change.",
		"SIGTERM and SIGINT end it when the packages under way are answered; a second one ends it at once.",
	],
	run: runServe,
};

async function runServe(args: Arguments): Promise<number> {
	const port = wholeNumber(args, "port", 0, 65535) ?? 2209;
	const connections = wholeNumber(args, "max-connections", 1, 1_000_000) ?? 61;
	const messageBytes = wholeNumber(args, "max-message-bytes", 0, Number.MAX_SAFE_INTEGER);
	const becomeUser = userSwitch(args.one("user"));
	const log = openLog(args.one("log") ?? "text", args.one("hostname") ?? systemHostname());
	const access = accessSources(args, log);
	const named = await namedQueue(args.one("queue") ?? "maildir:./mail");
	const { queue, addressEncoding } = named;
	await prepareAccess(access);
	const server = new QmtpServer({
		queue,
		hooks: accessHooks(access),
		hostname: args.one("hostname") ?? access.control?.me ?? systemHostname(),
		addressEncoding,
		limits: { connections, ...(messageBytes === undefined ? {} : { messageBytes }) },
	});
	follow(server, log);
	const ended = untilSignal(server, log);
	const address = await server.listen({ host: args.one("host") ?? "127.0.0.1", port });
	try {
		becomeUser(); // before a connection is taken, and before the queue makes a file
		log.listening(address, connections);
		await prepareQueue(named);
	} catch (error) {
		server.destroy();
		throw error;
	}
	process.stdout.write(`listening on ${hostAndPort(address)}\n`);
	await ended;
	await queue.close?.();
	return DONE;
}

function accessSources(args: Arguments, log: Log): AccessSources {
	const onFault = (error: Error) => log.fault(error, {});
	const rules = args.one("rules");
	const control = args.one("control");
	const relayFrom = args.all("relay-from");
	const fallback = rules === undefined ? LOCAL : []; // with rules it is for them to say
	return {
		rules: rules === undefined ? undefined : new RulesFile(rules, { onFault }),
		control: control === undefined ? undefined : new ControlDirectory(control, { onFault }),
		mayRelay: networks("relay-from", relayFrom.length > 0 ? relayFrom : fallback),
		accept: args.all("accept"),
		log,
	};
}

/** Resolves when a signal has ended the server. */
function untilSignal(server: QmtpServer, log: Log): Promise<void> {
	return new Promise((resolve, reject) => {
		let signals = 0;
		// One listener for all signals: one that comes while listeners are exchanged is lost.
		const onSignal = (signal: NodeJS.Signals) => {
			if (++signals > 1) return server.destroy();
			log.closing(signal, server.connections);
			server.close().then(resolve, reject);
		};
		for (const name of SIGNALS) process.on(name, onSignal);
	});
}

function hostAndPort({ address, family, port }: AddressInfo): string {
	return family === "IPv6" ? `[${address}]:${port}` : `${address}:${port}`;
}

const LOCAL = ["127.0.0.0/8", "::1"];

/** `qmtp serve`: a server with a queue behind it. */

import { hostname as systemHostname } from "node:os";
import { ControlDirectory } from "../access/control.js";
import { RulesFile } from "../access/rules-file.js";
import { QmtpServer } from "../server/server.js";
import { type Arguments, type Command, DONE, wholeNumber } from "./command.js";
import { hostAndPort } from "./host-and-port.js";
import { follow, LOG_SYNTAX, type Log, openLog } from "./log.js";
import { networks } from "./networks.js";
import { userSwitch } from "./privileges.js";
import { namedQueue, prepareQueue, QUEUE_SYNTAX } from "./queues.js";
import { type AccessSources, accessHooks, prepareAccess } from "./serve/access.js";
import { Doors } from "./serve/doors.js";
import { openSmtpDoor } from "./serve/smtp-door.js";
import { TlsDoor, tlsDoorSettings } from "./serve/tls-door.js";

export const serve: Command = {
	name: "serve",
	summary: "Takes mail over QMTP and puts it into a queue.",
	operands: "",
	options: {
		host: { value: "ADDRESS", help: "address to listen on", fallback: "127.0.0.1" },
		port: { value: "PORT", help: "port to listen on; 0 picks a free one", fallback: "2209" },
		"smtp-port": {
			value: "PORT",
			help: "take mail by SMTP as well, on this port; needs the package smtp-server",
		},
		"tls-cert": {
			value: "FILE",
			help: "speak TLS as well, on a port of its own, with this certificate and its chain",
		},
		"tls-key": { value: "FILE", help: "its private key; both in PEM" },
		"tls-ca": { value: "FILE", help: "ask clients for certificates of the authorities in this file" },
		"tls-port": { value: "PORT", help: "port for TLS; 0 picks a free one", fallback: "6209" },
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
		"max-connections": {
			value: "N",
			help: "connections at once; with TLS, at each of the two ports",
			fallback: "61",
		},
		user: { value: "NAME", help: "become this user once the port is bound; for root" },
		log: { value: "FORMAT", help: `what the log looks like: ${LOG_SYNTAX}`, fallback: "text" },
	},
	notes: [
		"Prints `listening on HOST:PORT` when it is ready; the log goes to stderr. Rules and control files are read again",
		"when they change.",
		"SIGHUP reads the files for TLS again, for new connections.",
		"SIGTERM and SIGINT end it when the packages under way are answered; a second one ends it at once.",
	],
	run: runServe,
};

async function runServe(args: Arguments): Promise<number> {
	const port = wholeNumber(args, "port", 0, 65535) ?? 2209;
	const connections = wholeNumber(args, "max-connections", 1, 1_000_000) ?? 61;
	const smtpPort = wholeNumber(args, "smtp-port", 0, 65535);
	const tlsSettings = await tlsDoorSettings(args);
	const messageBytes = wholeNumber(args, "max-message-bytes", 0, Number.MAX_SAFE_INTEGER);
	const becomeUser = userSwitch(args.one("user"));
	const log = openLog(args.one("log") ?? "text", args.one("hostname") ?? systemHostname());
	const access = accessSources(args, log);
	const named = await namedQueue(args.one("queue") ?? "maildir:./mail");
	const { queue, addressEncoding } = named;
	await prepareAccess(access);
	// No client is let in before the process is who it is to be, and the queue is there.
	let open = () => {};
	const ready = new Promise<void>((resolve) => {
		open = resolve;
	});
	const common = {
		queue,
		hooks: accessHooks(access, ready),
		hostname: args.one("hostname") ?? access.control?.me ?? systemHostname(),
		limits: { connections, ...(messageBytes === undefined ? {} : { messageBytes }) },
	};
	const server = new QmtpServer({ ...common, addressEncoding });
	follow(server, log);
	const doors = new Doors();
	doors.add(server);
	const tls = tlsSettings === null ? null : new TlsDoor({ ...common, addressEncoding }, tlsSettings, log);
	if (tls !== null) doors.add(tls.server);
	const ended = doors.untilSignal(log);
	const host = args.one("host") ?? "127.0.0.1";
	try {
		const address = await server.listen({ host, port });
		log.listening(address, connections);
		const secure = await tls?.listen(host, connections);
		const smtp = smtpPort === undefined ? null : await openSmtpDoor(common, { host, port: smtpPort }, log);
		if (smtp !== null) doors.add(smtp);
		becomeUser();
		// What only root can read could not be read again when it changes.
		if (args.one("user") !== undefined) {
			await prepareAccess(accessSources(args, log));
			await tls?.checkReadable();
		}
		await prepareQueue(named);
		process.stdout.write(`listening on ${hostAndPort(address.address, address.port)}\n`);
		if (secure !== undefined)
			process.stdout.write(`listening on ${hostAndPort(secure.address, secure.port)} for TLS\n`);
		if (smtp !== null)
			process.stdout.write(`listening on ${hostAndPort(smtp.address.address, smtp.address.port)} for SMTP\n`);
	} catch (error) {
		doors.destroy();
		doors.close();
		throw error;
	}
	open();
	if (await ended) process.exit(DONE); // nobody waits for what the queue still does
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

const LOCAL = ["127.0.0.0/8", "::1"];

/**
 * `qmtp qmtpd`: in the place of qmail-qmtpd, behind tcpserver. One connection on descriptors 0 and 1; what tcpserver
 * and tcprules say stands in the environment, what qmail says in its control files.
 *
 * Sources: qmail-qmtpd(8), qmail-control(5), tcp-environ(5).
 */
import { join } from "node:path";
import { ControlDirectory, controlNumber } from "../access/control.js";
import { databytesLimit } from "../access/databytes.js";
import { LONGEST_NETSTRING } from "../protocol/limits.js";
import type { AccessRights, Peer } from "../protocol/peer.js";
import { qmailQueue } from "../queue/qmail-queue.js";
import { recipientsOf } from "../server/hooks.js";
import { QmtpServer } from "../server/server.js";
import { type Arguments, type Command, DONE, PERMANENT, SIGNALS } from "./command.js";
import { connectionStatus } from "./connection-status.js";
import { connectionOfDescriptors, errorsGoToClient } from "./descriptors.js";
import { TextLog } from "./log/text.js";
import { follow } from "./log.js";

export const qmtpd: Command = {
	name: "qmtpd",
	summary: "In the place of qmail-qmtpd: one connection on descriptors 0 and 1, to be run by tcpserver.",
	operands: "",
	wrongUse: PERMANENT,
	options: {
		home: {
			value: "DIR",
			help: "qmail's directory, with control/ and bin/qmail-queue",
			fallback: "/var/qmail",
		},
	},
	notes: [
		"Environment: TCPREMOTEIP, TCPREMOTEHOST, TCPREMOTEINFO, TCPLOCALHOST, TCPLOCALIP; RELAYCLIENT, DATABYTES;",
		"QMAILQUEUE. Control files: rcpthosts, morercpthosts.cdb, databytes.",
		"Exits 0 when the client has left, 100 if it broke the protocol, 111 if something failed here.",
	],
	run: runQmtpd,
};

async function runQmtpd(args: Arguments): Promise<number> {
	const { env } = process;
	const { TCPLOCALHOST, TCPLOCALIP } = env;
	const log = new TextLog("qmtpd: ");
	const home = args.one("home") ?? "/var/qmail";
	const control = new ControlDirectory(join(home, "control"), { onFault: (error) => log.fault(error, {}) });
	await control.refresh();
	// What tcpserver has said goes on as it is.
	const queue = qmailQueue({ home, concurrency: CONCURRENCY, environment: () => env });
	const rights = rightsOf(env, control.databytes);
	const server = new QmtpServer({
		queue,
		hooks: { authorize: () => rights, recipient: recipientsOf(control.recipientHosts ?? EVERYWHERE) },
		hostname: TCPLOCALHOST ?? TCPLOCALIP ?? "unknown",
		addressEncoding: "latin1",
		limits: LIMITS,
		timeouts: { session: HOUR, idle: HOUR, commit: HOUR },
	});
	if (!errorsGoToClient()) follow(server, log);
	else server.on("fault", () => {}); // nobody is there to be told
	let status = DONE;
	server.on("disconnect", ({ error }) => {
		status = connectionStatus(error);
	});
	const close = () => void server.close();
	for (const name of SIGNALS) process.on(name, close);
	await server.serve(connectionOfDescriptors(), peerOf(env));
	await queue.close?.();
	for (const name of SIGNALS) process.removeListener(name, close);
	return status;
}

function rightsOf(env: NodeJS.ProcessEnv, databytes: number | null): AccessRights {
	const { DATABYTES, RELAYCLIENT } = env;
	const limit = DATABYTES === undefined ? databytes : controlNumber(Buffer.from(DATABYTES));
	return {
		messageBytes: databytesLimit(limit ?? 0),
		...(RELAYCLIENT === undefined
			? {}
			: { relay: true, suffix: Buffer.from(RELAYCLIENT).toString("latin1") }),
	};
}

/** The two ends of the connection, from the environment that tcpserver makes. */
function peerOf(env: NodeJS.ProcessEnv): Peer {
	const { TCPREMOTEIP = "", TCPREMOTEPORT, TCPREMOTEHOST, TCPREMOTEINFO } = env;
	const { TCPLOCALIP = "", TCPLOCALPORT } = env;
	return {
		remoteAddress: TCPREMOTEIP,
		remotePort: Number(TCPREMOTEPORT ?? 0),
		localAddress: TCPLOCALIP,
		localPort: Number(TCPLOCALPORT ?? 0),
		...(TCPREMOTEHOST === undefined ? {} : { remoteHost: TCPREMOTEHOST }),
		...(TCPREMOTEINFO === undefined ? {} : { remoteInfo: TCPREMOTEINFO }),
	};
}

const EVERYWHERE = { has: () => true };
const CONCURRENCY = 8; // messages in qmail-queue at once: their fsyncs overlap
const HOUR = 3_600_000;

// qmail-qmtpd takes any number of recipients until its memory ends; this is where ours does.
const LIMITS = {
	netstringBytes: LONGEST_NETSTRING,
	recipientBytes: 4 * 1024 * 1024,
	recipients: 100_000,
};

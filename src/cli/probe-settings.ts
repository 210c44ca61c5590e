/** What `qmtp probe` is to do, from its command line: where to connect to, and the test message. */
import { randomUUID } from "node:crypto";
import { isIPv6 } from "node:net";
import { hostname } from "node:os";
import { encodePackage } from "../protocol/package-encoder.js";
import { type Arguments, WrongUse, wholeNumber } from "./command.js";
import { clientTlsFiles, type TlsFiles } from "./tls-files.js";

/** What the command line asks for. Times are in milliseconds. */
export interface Settings {
	readonly target: Target;
	/** Null: without TLS. */
	readonly tls: TlsFiles | null;
	readonly recipients: readonly string[];
	/** The package to be sent, as it goes over the wire; null without recipients. */
	readonly message: Uint8Array | null;
	readonly timeout: number;
	readonly wait: number;
}

/** Where to connect to. */
export interface Target {
	readonly host: string;
	readonly port: number;
}

/** Reads the arguments. @throws WrongUse. */
export function probeSettings(args: Arguments): Settings {
	const [operand, ...more] = args.operands;
	if (operand === undefined) throw new WrongUse("HOST is missing");
	if (more.length > 0) throw new WrongUse(`unexpected argument '${more[0]}'`);
	const recipients = args.all("recipient");
	const sender = args.one("sender");
	if (sender !== undefined && recipients.length === 0) throw new WrongUse("--sender needs a --recipient");
	const tls = clientTlsFiles(args);
	return {
		target: checkedTarget(operand, tls === null ? "209" : "6209"),
		tls,
		recipients,
		message: recipients.length === 0 ? null : testPackage(sender ?? "", recipients),
		timeout: (wholeNumber(args, "timeout", 1, DAY) ?? 10) * 1000,
		wait: wholeNumber(args, "wait", 1, DAY * 1000) ?? 500,
	};
}

function checkedTarget(operand: string, defaultPort: string): Target {
	const found = TARGETS.map((pattern) => pattern.exec(operand)?.groups).find(
		(groups) => groups !== undefined,
	);
	const { host = "", address = "", port = defaultPort } = found ?? {};
	const isTarget = host !== "" || isIPv6(address);
	if (isTarget && Number(port) >= 1 && Number(port) <= 65535)
		return { host: host || address, port: Number(port) };
	const examples = "mail.example.com, 192.0.2.1:2209 or [2001:db8::1]:209";
	throw new WrongUse(`'${operand}' is not HOST[:PORT], such as ${examples}`);
}

/** A package with a message that people and filters can tell from others. */
function testPackage(sender: string, recipients: readonly string[]): Uint8Array {
	const name = hostname();
	const host = PLAIN_HOST.test(name) ? name : "localhost";
	const isPlain = (address: string) => address.length <= LONGEST_ADDRESS && PLAIN_ADDRESS.test(address);
	const lines = [
		`From: ${isPlain(sender) ? sender : `qmtp-probe@${host}`}`,
		`To: ${recipients.every(isPlain) ? recipients.join(",\n ") : "undisclosed-recipients:;"}`,
		"Subject: qmtp probe",
		`Date: ${new Date().toUTCString().replace("GMT", "+0000")}`,
		`Message-ID: <${randomUUID()}@${host}>`,
		"",
		"This is a test: somebody ran `qmtp probe` to see whether mail is taken for this address.",
		"",
	];
	const body = Buffer.from(lines.join("\n"), "latin1");
	const { head, tail } = encodePackage({ sender, recipients }, { encoding: "lf", length: body.length });
	return Buffer.concat([head, body, tail]);
}

const TARGETS = [
	/^\[(?<address>.*)\](?::(?<port>\d+))?$/,
	/^(?<host>[^:\s/@[\]]+)(?::(?<port>\d+))?$/,
	/^(?<address>[^[\]]+)$/,
];
const PLAIN_ADDRESS = /^[\w!#$%&'*+/=?^`{|}~-]+(?:\.[\w!#$%&'*+/=?^`{|}~-]+)*@[A-Za-z0-9.-]+$/;
const PLAIN_HOST = /^[A-Za-z0-9.-]+$/;
const LONGEST_ADDRESS = 254; // a line of a message ends before 998 bytes
const DAY = 86_400; // seconds

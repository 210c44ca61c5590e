/**
 * `qmtp probe`: one connection to a server, step by step, to see whether it takes mail over QMTP, and where not, why.
 *
 * Each step prints a line when its result is known. The first that fails ends the probe with one line on standard error.
 */
import type { Socket } from "node:net";
import { connectTcp, secureSocket } from "../client/connect.js";
import { clientSettings } from "../client/options.js";
import { certificateProblem } from "../client/tls-problems.js";
import { ProtocolError, TransportError } from "../errors.js";
import type { QmtpResponse, Status } from "../protocol/response.js";
import { ResponseDecoder } from "../protocol/response-decoder.js";
import { type Arguments, type Command, DONE, PERMANENT, SIGNALS, TEMPORARY } from "./command.js";
import { hostAndPort } from "./host-and-port.js";
import { type Arrival, Incoming } from "./incoming.js";
import { printable } from "./printable.js";
import { probeSettings, type Settings } from "./probe-settings.js";
import { CLIENT_TLS_OPTIONS, certificateText, readTlsFiles } from "./tls-files.js";

export const probe: Command = {
	name: "probe",
	summary: "Tells whether HOST is a QMTP server, and with --recipient whether it takes mail.",
	operands: "HOST[:PORT]",
	options: {
		...CLIENT_TLS_OPTIONS,
		recipient: { value: "ADDRESS", multiple: true, help: "send a test message to this address" },
		sender: { value: "ADDRESS", help: "its envelope sender", fallback: "'', none" },
		timeout: { value: "SECONDS", help: "longest time for each step", fallback: "10" },
		wait: { value: "MS", help: "how long the server must be silent at first", fallback: "500" },
	},
	notes: [
		"The port is 209 if none is given, 6209 with --tls. An IPv6 address with a port is written [2001:db8::1]:209.",
		"Prints a line for each step, and STATUS<TAB>RECIPIENT<TAB>DESCRIPTION<TAB>TIME for each recipient. Exits 0 if",
		"all is well, 100 if any is D or this is no QMTP server, else 111.",
	],
	run: runProbe,
};

async function runProbe(args: Arguments): Promise<number> {
	const settings = probeSettings(args);
	const abort = new AbortController();
	const interrupt = () => abort.abort(new Failure("interrupted"));
	for (const name of SIGNALS) process.once(name, interrupt);
	let socket: Socket | null = null;
	try {
		socket = await connected(settings, abort.signal);
		socket = await secured(settings, socket, abort.signal);
		return await runSteps(settings, socket, new Incoming(socket, abort.signal));
	} catch (error) {
		if (!(error instanceof Failure)) throw error;
		await new Promise((resolve) => {
			process.stderr.write(`qmtp probe: ${printable(error.message)}\n`, resolve);
		});
		// The look-up of a name cannot be cancelled, and would keep the process for as long as it takes.
		if (socket === null) process.exit(error.exitCode);
		return error.exitCode;
	} finally {
		socket?.destroy();
		for (const name of SIGNALS) process.removeListener(name, interrupt);
	}
}

async function runSteps(settings: Settings, socket: Socket, incoming: Incoming): Promise<number> {
	await beSilent(settings, incoming);
	const exitCode = settings.message === null ? DONE : await beAnswered(settings, socket, incoming);
	await beClosed(settings, socket, incoming, exitCode);
	return exitCode;
}

async function connected({ target, timeout }: Settings, signal: AbortSignal): Promise<Socket> {
	const { host, port } = target;
	const begun = performance.now();
	try {
		const socket = await connectTcp(clientSettings({ host, port, timeouts: { connect: timeout } }), signal);
		// A connection that was reset at once has no address any more.
		const { remoteAddress = host, remotePort = port } = socket;
		say(`connected to ${hostAndPort(remoteAddress, remotePort)} in ${since(begun)}`);
		return socket;
	} catch (error) {
		if (!(error instanceof TransportError)) throw error;
		const code = (error.cause as NodeJS.ErrnoException | undefined)?.code;
		const advice = ADVICE[error.code === "ERR_QMTP_CONNECT_TIMEOUT" ? error.code : (code ?? "")];
		const problem = error.message.replace(`${host}:${port}`, () => hostAndPort(host, port));
		throw new Failure(advice === undefined ? problem : `${problem}; ${advice}`);
	}
}

/** Speaks TLS if it is to, and checks the certificate when it can be shown: before anything else is sent. */
async function secured(
	{ target, tls, timeout }: Settings,
	socket: Socket,
	signal: AbortSignal,
): Promise<Socket> {
	if (tls === null) {
		say("tls: none");
		return socket;
	}
	const { host, port } = target;
	const options = { ...(await readTlsFiles(tls)), rejectUnauthorized: false };
	const settings = clientSettings({ host, port, tls: options, timeouts: { connect: timeout } });
	const stream = await secureSocket(socket, settings, { signal, timeout }).catch((error: Error) => {
		if (!(error instanceof TransportError)) throw error;
		throw new Failure(error.message.replace(`${host}:${port}`, () => hostAndPort(host, port)));
	});
	const certificate = stream.getPeerX509Certificate();
	const whose =
		certificate === undefined ? "no certificate" : `certificate of ${certificateText(certificate)}`;
	say(printable(`tls: ${stream.getProtocol()} ${stream.getCipher().name}, ${whose}`));
	if (stream.authorized) return stream;
	const code = String(stream.authorizationError); // whatever @types/node says
	const problem = certificateProblem(code, host, certificate?.toLegacyObject()) ?? code;
	throw new Failure(`${problem}; clients send nothing to such a server`);
}

/** Waits as the server should: it has nothing to say before it was sent a package. */
async function beSilent({ target, wait, timeout }: Settings, incoming: Incoming): Promise<void> {
	const where = hostAndPort(target.host, target.port);
	const deadline = performance.now() + wait;
	const arrival = await incoming.next(deadline);
	if (arrival.type === "nothing") return say(`silent for ${wait} ms, as a QMTP server is`);
	if (arrival.type !== "bytes") {
		const how = arrival.type === "end" ? "the server closed the connection" : arrival.reason;
		throw new Failure(`${how} before it was sent anything; ${TURNED_AWAY}`);
	}
	const greeting = await readGreeting(arrival.bytes, incoming, wait, deadline + timeout);
	const response = firstResponse(greeting);
	if (typeof response === "object") {
		const { status, description } = response;
		say(`not silent, a response: ${status}\t${printable(description)}`);
		const problem = `${where} gave a response before it was sent anything`;
		throw new Failure(
			`${problem}; see to its set-up, its log may say more`,
			status === "Z" ? TEMPORARY : PERMANENT,
		);
	}
	const line = firstLine(greeting);
	say(`not silent: ${printable(line)}`);
	const problem = SMTP_GREETING.test(line)
		? `${where} seems to be an SMTP server: it greets with ${line.slice(0, 3)}`
		: `${where} is no QMTP server: it speaks before it was sent anything`;
	throw new Failure(`${problem}; is this the port for QMTP?`, PERMANENT);
}

/** What a server says unasked: its beginning, as far as a response or a line. */
async function readGreeting(
	first: Uint8Array,
	incoming: Incoming,
	wait: number,
	deadline: number,
): Promise<Buffer> {
	let greeting: Buffer = Buffer.from(first.subarray(0, KEPT_BYTES)); // a copy
	while (greeting.length < KEPT_BYTES) {
		const response = firstResponse(greeting);
		if (typeof response === "object" || (response === "none" && greeting.includes("\n"))) break;
		const arrival = await incoming.next(Math.min(performance.now() + wait, deadline));
		if (arrival.type !== "bytes") break;
		greeting = joined(greeting, arrival.bytes);
	}
	return greeting;
}

/** Sends the test message and prints each answer. @returns The exit code that they make. */
async function beAnswered(settings: Settings, socket: Socket, incoming: Incoming): Promise<number> {
	const { message, recipients, timeout } = settings;
	const answers = new Answers();
	let exitCode: number = DONE;
	socket.write(message as Uint8Array);
	const sent = performance.now();
	for (const [index, recipient] of recipients.entries()) {
		let response = answers.next();
		while (response === null) {
			const arrival = await incoming.next(sent + timeout);
			if (arrival.type !== "bytes") {
				throw new Failure(unanswered(arrival, index, settings), worse(exitCode, TEMPORARY));
			}
			answers.receive(arrival.bytes);
			response = answers.next();
		}
		const { status, description } = response;
		say(`${status}\t${printable(recipient)}\t${printable(description)}\t${since(sent)}`);
		exitCode = worse(exitCode, EXIT_CODES[status]);
	}
	if (answers.left > 0) {
		const problem = `the server sent ${answers.left} bytes behind its answers`;
		throw new Failure(`${problem}; a client would take them for its next answer`, worse(exitCode, TEMPORARY));
	}
	return exitCode;
}

function unanswered(arrival: Arrival, answered: number, { recipients, timeout }: Settings): string {
	if (arrival.type === "nothing") {
		const within = `within ${timeout / 1000} s`;
		if (answered === 0) return `no answer ${within}; see to the server's log, or give it more with --timeout`;
		const problem = `${answered} of ${recipients.length} recipients got an answer ${within}`;
		return `${problem}; if the server answers once a message, whatever its recipients, probe them one by one`;
	}
	const how = arrival.type === "lost" ? arrival.reason : "the server closed the connection";
	return `${how} after ${answered} of ${recipients.length} answers; its log may say why`;
}

/** Closes this side, and sees whether the server then closes its own. */
async function beClosed(
	{ timeout }: Settings,
	socket: Socket,
	incoming: Incoming,
	exitCode: number,
): Promise<void> {
	const failed = worse(exitCode, TEMPORARY);
	let arrival = await incoming.next(performance.now()); // what came right behind the answers
	if (arrival.type === "end") return say("closed by the server before we had closed our side");
	const closed = performance.now();
	if (arrival.type === "nothing") {
		socket.end();
		arrival = await incoming.next(closed + timeout);
	}
	switch (arrival.type) {
		case "end":
			return say(`closed cleanly ${since(closed)} after we had closed our side`);
		case "bytes":
			say(`sent unasked: ${printable(firstLine(arrival.bytes))}`);
			throw new Failure("the server sent more than was due; a client would take it for an answer", failed);
		case "lost":
			throw new Failure(`${arrival.reason} instead of closing it; its log may say why`, failed);
		case "nothing": {
			const problem = `the server did not close within ${timeout / 1000} s after we had closed our side`;
			throw new Failure(`${problem}; its connections may pile up`, failed);
		}
	}
}

/** The answers to one package, as they come. */
class Answers {
	readonly #decoder = new ResponseDecoder();
	#received = 0; // bytes
	#first: Buffer = Buffer.alloc(0); // of all that came
	#end = 0; // offset of the end of the last response

	/** Bytes that came behind the last response. */
	get left(): number {
		return this.#received - this.#end;
	}

	receive(bytes: Uint8Array): void {
		this.#decoder.receive(bytes);
		this.#received += bytes.length;
		this.#first = joined(this.#first, bytes);
	}

	/** The next answer; null if more bytes are needed. @throws Failure. */
	next(): QmtpResponse | null {
		try {
			const response = this.#decoder.next();
			if (response !== null) this.#end = this.#decoder.offset;
			return response;
		} catch (error) {
			if (!(error instanceof ProtocolError)) throw error;
			say(`no response: ${printable(firstLine(this.#first.subarray(this.#end)))}`);
			const problem = `the server answers with what is no QMTP response: ${error.message}`;
			throw new Failure(`${problem}; is this the port for QMTP?`, PERMANENT);
		}
	}
}

/** The response at the front: "cut" if bytes are missing, "none" if it is no response. */
function firstResponse(bytes: Uint8Array): QmtpResponse | "cut" | "none" {
	const decoder = new ResponseDecoder({ maxLength: KEPT_BYTES });
	decoder.receive(bytes);
	try {
		return decoder.next() ?? "cut";
	} catch {
		return "none";
	}
}

function firstLine(bytes: Uint8Array): string {
	const [line = ""] = Buffer.from(bytes.subarray(0, KEPT_BYTES)).toString("utf8").split(/\r?\n/, 1);
	return line;
}

/** Both behind one another, no more than what is kept. */
function joined(bytes: Buffer, more: Uint8Array): Buffer {
	if (bytes.length >= KEPT_BYTES) return bytes;
	return Buffer.concat([bytes, more.subarray(0, KEPT_BYTES - bytes.length)]);
}

function say(line: string): void {
	process.stdout.write(`${line}\n`);
}

function since(begun: number): string {
	return `${(performance.now() - begun).toFixed(1)} ms`;
}

/** Of two exit codes the one that tells more: one D is enough. */
function worse(one: number, other: number): number {
	return [PERMANENT, TEMPORARY].find((code) => one === code || other === code) ?? DONE;
}

/** A step failed; the message says how, in one line. */
class Failure extends Error {
	readonly exitCode: number;

	constructor(message: string, exitCode: number = TEMPORARY) {
		super(message);
		this.exitCode = exitCode;
	}
}

const EXIT_CODES: Readonly<Record<Status, number>> = { K: DONE, Z: TEMPORARY, D: PERMANENT };
const TURNED_AWAY = "it may take no mail from here, or have all the connections it takes";
const ADVICE: Readonly<Record<string, string>> = {
	ECONNREFUSED: "is the server running, and is this its port?",
	ENOTFOUND: "is it written as it should be?",
	EAI_AGAIN: "try again, or give an address",
	ERR_QMTP_CONNECT_TIMEOUT: "a firewall may drop what is sent there, or the look-up of the name hangs",
};
const SMTP_GREETING = /^(?:220|421|554)(?:[ -]|$)/; // RFC 5321, section 4.3.2
const KEPT_BYTES = 1024; // of what a stranger says

/**
 * `qmtp remote`: in the place of qmail-remote. The message is on descriptor 0; what became of it is told on standard
 * output, in reports that end with NUL: one for each recipient that got an answer, then one for the message.
 *
 * Source: qmail-remote(8), qmail-rspawn.c; the reports over QMTP are those of the qmtpc patch, but for Z, which is `s`.
 */
import { fstatSync } from "node:fs";
import { join } from "node:path";
import { controlLine, controlLines, controlNumber, readControl } from "../access/control.js";
import { descriptorBody } from "../body/file.js";
import type { Message } from "../client/message.js";
import { ProtocolError, UsageError } from "../errors.js";
import { FixedRoutes } from "../routing/fixed-routes.js";
import type { RouteProtocol } from "../routing/mxps.js";
import { dnsResolver } from "../routing/resolver.js";
import type { RoutedResult } from "../routing/router/result.js";
import { MailRouter } from "../routing/router.js";
import { byteOperands } from "./byte-operands.js";
import { type Arguments, type Command, DONE, WrongUse } from "./command.js";
import { nameServers } from "./name-servers.js";
import { printable } from "./printable.js";

export const remote: Command = {
	name: "remote",
	summary: "In the place of qmail-remote: sends the message on standard input to HOST, by QMTP or SMTP.",
	operands: "HOST SENDER RECIPIENT ...",
	optionsFirst: true,
	wrongUse: { code: DONE, output: "DI (qmail-remote) was invoked improperly. (#5.3.5)\n\0" },
	options: {
		home: { value: "DIR", help: "qmail's directory, with control/", fallback: "/var/qmail" },
	},
	notes: [
		"Prints a report for each recipient that got an answer (r: accepted, s: try again, h: never), then one for the message",
		"(K, Z, D), each with a NUL at its end. Exits 0 whatever became of it.",
		"Control files: me, helohost, qmtproutes, smtproutes, timeoutconnect, timeoutremote.",
	],
	run: runRemote,
};

async function runRemote(args: Arguments): Promise<number> {
	const host = args.operands[0] ?? "";
	if (host === "" || args.operands.length < 3) {
		throw new WrongUse("HOST, SENDER and a RECIPIENT are needed");
	}
	const bytes = byteOperands(args.operands);
	if (bytes === null)
		return complain("ZUnable to read the addresses. (#4.3.0)", new Error("they are no UTF-8"));
	const [, sender = "", ...recipients] = bytes;
	let router: MailRouter;
	try {
		router = routerOf(join(args.one("home") ?? "/var/qmail", "control"));
	} catch (error) {
		return complain("ZUnable to read control files. (#4.3.0)", error);
	}
	try {
		const message = messageOfInput();
		const { responses } = await router.deliver({ host, sender, recipients, message, encoding: "lf" });
		process.stdout.write(reports(responses).map(reportText).join(""));
	} catch (error) {
		return complain("ZUnable to read message. (#4.3.0)", error);
	} finally {
		await router.close();
	}
	return DONE;
}

/** A file is read where it is; a pipe once. @throws An Error for what can be no message. */
function messageOfInput(): Message {
	const stats = fstatSync(0);
	if (stats.isFile()) return descriptorBody(0, stats.size);
	if (stats.isFIFO() || stats.isSocket()) return process.stdin;
	throw new Error("standard input is neither a file nor a pipe");
}

/** @throws An Error for a control file that cannot be read or understood. */
function routerOf(control: string): MailRouter {
	const bytes = (name: string) => readControl(join(control, name)) ?? undefined;
	const line = (name: string) => {
		const found = bytes(name);
		return found === undefined ? undefined : controlLine(found);
	};
	const seconds = (name: string, fallback: number) => {
		const found = bytes(name);
		return (found === undefined ? fallback : Math.max(controlNumber(found), 1)) * 1000;
	};
	const routes = (protocol: RouteProtocol) => {
		const found = bytes(`${protocol}routes`);
		return found === undefined ? null : FixedRoutes.parse(controlLines(found), protocol);
	};
	const names = [line("me"), line("helohost")].map((name) => name?.toLowerCase());
	return new MailRouter({
		resolver: dnsResolver({ servers: nameServers() }),
		addressEncoding: "latin1",
		isOurself: (exchange) => names.includes(exchange),
		qmtpRoutes: routes("qmtp"),
		smtpRoutes: routes("smtp"),
		hostname: line("helohost") ?? line("me"),
		timeouts: { connect: seconds("timeoutconnect", 60), response: seconds("timeoutremote", 1200) },
	});
}

/** What is told of the recipients, each for itself, and of the message: texts that begin with their letter. */
function reports(results: readonly RoutedResult[]): string[] {
	const [first] = results as [RoutedResult, ...RoutedResult[]];
	const address = results.findLast((result) => result.address !== undefined)?.address;
	if (address === undefined) return [`${first.status}${first.description}`]; // nobody was reached
	const answered = results.filter(({ error }) => error === undefined);
	return [...answered.map(ofRecipient), ofMessage(results, address)];
}

function ofRecipient({ status, description, address }: RoutedResult): string {
	if (status === "K") return "r";
	return `${status === "Z" ? "s" : "h"}${address ?? "SMTP"} does not like recipient.\nRemote host said: ${description}`;
}

function ofMessage(results: readonly RoutedResult[], address: string): string {
	const lost = results.find(({ error }) => error !== undefined);
	if (lost?.error instanceof ProtocolError) return "ZRecipient did not talk proper QMTP (#4.3.0)";
	if (lost?.error instanceof UsageError) return `Z${lost.error.message} (#4.3.0)`;
	if (lost !== undefined) {
		const duplicate = results.some(({ possiblyAccepted }) => possiblyAccepted) ? "Possible duplicate! " : "";
		return `ZConnected to ${address} but connection died. ${duplicate}(#4.4.2)`;
	}
	const accepted = results.findLast(({ status }) => status === "K");
	if (accepted === undefined) return `DGiving up on ${address}.`;
	return `K${address} accepted message.\nRemote host said: ${accepted.description}`;
}

/** As it is written. A NUL would end it too early. */
function reportText(text: string): string {
	return text === "r" ? "r\0" : `${text.replaceAll("\0", "?")}\n\0`;
}

function complain(text: string, error: unknown): number {
	process.stdout.write(reportText(text));
	process.stderr.write(`qmtp remote: ${printable((error as Error).message)}\n`);
	return DONE;
}

/**
 * Messages of 1 KiB into servers that discard them: ours, mailfront's qmtpfront-echo (QMTP in C), and npm's smtp-server
 * (SMTP in Node). Everything is on the loopback interface, and every server is a process of its own. Programs of others
 * are used where they are installed; `npm run bench:peers:install` brings them.
 *
 * What it defends against:
 * - Two clients: ours and mailfront's server get the same bytes from the same client over one connection, which counts the
 *   answers; each must be a K. Both add a Received field.
 * - A slow client that makes a server look slow: smtp-server is driven by smtp-source, a C program, in one and in many
 *   sessions, and by nodemailer's pool; what counts is the best that smtp-source got out of it. None of these
 *   clients pipelines commands; a client that did could get more out of one session, and not out of many.
 * - Work that is left out: smtp-server tells how many messages and bytes it got.
 * - JIT warm-up: the servers run through all rounds, of which the first is not counted.
 * - A noisy, shared machine: the variants run in turns, and ratios are those of one round.
 * - A peer that hangs: each measurement has a minute, and then the benchmark fails.
 */
import { Child } from "../child.js";
import { messageBody, repeated, smallPackage } from "../fixtures/packages.js";
import { temporaryFolder } from "../folder.js";
import { sendPrebuilt } from "../loopback/clients.js";
import { benchmarkOptions } from "../options.js";
import { figure, printTable, printTitle, spread } from "../report.js";
import { record } from "../results.js";
import { inTurns, ratio, ratios, type Samples, samplesOf, type Variant } from "../rounds.js";
import { holdTo } from "../target.js";
import { Mailfront } from "./mailfront.js";
import { areHere } from "./programs.js";
import { type SmtpLoad, sendByNodemailer, sendBySource } from "./smtp-clients.js";

const BODY = messageBody(1024);
const PACKAGES_IN_CHUNK = 64;
const MESSAGES = PACKAGES_IN_CHUNK * 4096;
const SMTP_MESSAGES = 4000;
const MANY = 20;
const TIMEOUT_MS = 60_000;

const OURS = "qmtp, one connection";
const MAILFRONT = "qmtpfront-echo, one connection";
const SOURCE = "smtp-server, smtp-source, one session";
const SOURCE_MANY = `smtp-server, smtp-source, ${MANY} sessions`;
const NODEMAILER = `smtp-server, nodemailer, a pool of ${MANY}`;

const { rounds } = benchmarkOptions({ rounds: 5 });
printTitle(`peers: messages of ${BODY.length} B into servers that discard them`, rounds);
const chunks = Array.from({ length: 60 }, () => repeated(smallPackage(BODY.length), PACKAGES_IN_CHUNK));
const server = new Child(new URL("../loopback/server.js", import.meta.url), []);
const smtpServer = new Child(new URL("./smtp-server.js", import.meta.url), []);
const port = await server.ask<number>("port");
const smtpPort = await smtpServer.ask<number>("port");
const variants = [
	variant(OURS, MESSAGES, () => prebuilt(port)),
	variant(NODEMAILER, SMTP_MESSAGES, () => bySmtp(sendByNodemailer, MANY)),
];
const mailfront = areHere(["qmtpfront-echo", "tcpserver"]) ? await Mailfront.start(temporaryFolder()) : null;
if (mailfront !== null) variants.push(variant(MAILFRONT, MESSAGES, () => prebuilt(mailfront.port)));
if (areHere(["smtp-source"])) {
	variants.push(variant(SOURCE, SMTP_MESSAGES, () => bySmtp(sendBySource, 1)));
	variants.push(variant(SOURCE_MANY, SMTP_MESSAGES, () => bySmtp(sendBySource, MANY)));
}
report(await inTurns(variants, rounds));
await mailfront?.stop();
for (const child of [server, smtpServer]) await child.stop();

/** Measures messages a second, by the clock. */
function variant(name: string, messages: number, send: () => Promise<void>): Variant {
	return {
		name,
		async run() {
			const started = performance.now();
			await within(name, send());
			return messages / ((performance.now() - started) / 1000);
		},
	};
}

async function prebuilt(port: number): Promise<void> {
	const answers = await sendPrebuilt(port, chunks, MESSAGES / PACKAGES_IN_CHUNK);
	if (answers !== MESSAGES) throw new Error(`${answers} answers to ${MESSAGES} messages`);
}

async function bySmtp(send: (load: SmtpLoad) => Promise<void>, sessions: number): Promise<void> {
	await send({ port: smtpPort, messages: SMTP_MESSAGES, sessions, body: BODY });
	const { messages, bytes } = await smtpServer.ask<{ messages: number; bytes: number }>("taken");
	if (messages === SMTP_MESSAGES && bytes >= SMTP_MESSAGES * BODY.length) return;
	throw new Error(`smtp-server got ${messages} messages of ${bytes} bytes together`);
}

/** Rejects when it takes too long. */
async function within<T>(name: string, work: Promise<T>): Promise<T> {
	let timer: NodeJS.Timeout | undefined;
	const late = new Promise<never>((_, reject) => {
		timer = setTimeout(() => reject(new Error(`${name} has not ended in ${TIMEOUT_MS} ms`)), TIMEOUT_MS);
	});
	try {
		return await Promise.race([work, late]);
	} finally {
		clearTimeout(timer);
	}
}

function report(samples: Samples): void {
	const rows = [["", "messages/s", "qmtp is faster, times"]];
	for (const name of [OURS, MAILFRONT, SOURCE, SOURCE_MANY, NODEMAILER].filter((name) => samples.has(name))) {
		const perSecond = samplesOf(samples, name);
		rows.push([name, spread(perSecond), name === OURS ? "" : figure(ratio(samples, OURS, name))]);
		record({ benchmark: "peers", name, unit: "messages/s", samples: perSecond, better: "higher" });
	}
	printTable(rows);
	console.log();
	if (samples.has(MAILFRONT)) {
		holdTo({
			benchmark: "peers",
			name: "qmtp to qmtpfront-echo",
			samples: ratios(samples, OURS, MAILFRONT),
			atLeast: 4,
		});
	}
	if (samples.has(SOURCE)) {
		const many = ratios(samples, OURS, SOURCE_MANY);
		holdTo({
			benchmark: "peers",
			name: "qmtp to smtp-server driven by smtp-source",
			samples: ratios(samples, OURS, SOURCE).map((one, round) => Math.min(one, many[round] as number)),
			atLeast: 40,
		});
	}
}

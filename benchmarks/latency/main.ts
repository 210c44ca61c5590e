/**
 * A hundred messages of 1 KiB to a server that is far away: how many round trips it takes, and how long, until all of them
 * are acknowledged, with the connection. QMTP needs one for the connection and one for all messages, since nobody waits for
 * an answer before the next package. Beside it, in the same run, SMTP: nodemailer's pool with one connection, and
 * smtp-server. Client, server and the link between them are three processes.
 *
 * What it defends against:
 * - A link that is not far: a run that ends before its round trips could be over is an error.
 * - Round trips that nobody counts: the link counts them, the handshake as well, whatever the clock says; and the clock's
 *   time, divided by the round trip, stands beside that and is what is held to the target.
 * - Work that is left out: every message must be accepted.
 * - A connection that is there already: each measurement makes a new one.
 */
import { QmtpClient } from "qmtp";
import { Child } from "../child.js";
import { messageBody } from "../fixtures/packages.js";
import { benchmarkOptions } from "../options.js";
import { sendByNodemailer } from "../peers/smtp-clients.js";
import { figure, printTable, printTitle, spread } from "../report.js";
import { record } from "../results.js";
import { inTurns, median, samplesOf, type Variant } from "../rounds.js";
import { holdTo } from "../target.js";

const BODY = messageBody(1024);
const MESSAGES = 100;
const ROUND_TRIPS_MS = [1, 10, 50];
const TARGET_MS = 50;
const TARGET = 3;
const FEWEST = 2;

const QMTP = "QmtpClient";
const SMTP = "nodemailer, SMTP";

const { rounds } = benchmarkOptions({ rounds: 5 });
const counted = new Map<string, number[]>(); // round trips, by variant
const server = new Child(new URL("../loopback/server.js", import.meta.url), []);
const smtpServer = new Child(new URL("../peers/smtp-server.js", import.meta.url), []);
const links: Child[] = [];

printTitle(`latency: ${MESSAGES} messages of ${BODY.length} B over one connection`, rounds);
const variants: Variant[] = [];
for (const ms of ROUND_TRIPS_MS) {
	variants.push(
		await variant(QMTP, server, ms, sendByClient),
		await variant(SMTP, smtpServer, ms, sendBySmtp),
	);
}
const samples = await inTurns(variants, rounds);
for (const child of [server, smtpServer, ...links]) await child.stop();

const rows = [["", "round trips counted", "time in round trips", "ms"]];
for (const ms of ROUND_TRIPS_MS) {
	for (const name of [QMTP, SMTP].map((client) => title(client, ms))) {
		const times = samplesOf(samples, name);
		rows.push([
			name,
			figure(median(counted.get(name) ?? [])),
			spread(times.map((value) => value / ms)),
			spread(times),
		]);
		const roundTrips = counted.get(name) ?? [];
		record({ benchmark: "latency", name, unit: "ms", samples: times, better: "lower" });
		record({ benchmark: "latency", name, unit: "round trips", samples: roundTrips, better: "lower" });
	}
}
printTable(rows);
console.log();
holdTo({
	benchmark: "latency",
	name: `round trips for ${MESSAGES} messages over ${TARGET_MS} ms`,
	samples: samplesOf(samples, title(QMTP, TARGET_MS)).map((value) => value / TARGET_MS),
	atMost: TARGET,
});

/** Measures the milliseconds until the last message is acknowledged. */
async function variant(
	client: string,
	to: Child,
	ms: number,
	send: (port: number) => Promise<void>,
): Promise<Variant> {
	const name = title(client, ms);
	const target = await to.ask<number>("port");
	const link = new Child(new URL("./proxy.js", import.meta.url), [`${target}`, `${ms}`]);
	links.push(link);
	const port = await link.ask<number>("port");
	return {
		name,
		async run() {
			await link.ask("roundTrips");
			const started = performance.now();
			await send(port);
			const time = performance.now() - started;
			const roundTrips = await link.ask<number>("roundTrips");
			if (time < FEWEST * ms || roundTrips < FEWEST) {
				throw new Error(`${name}: ${roundTrips} round trips in ${time} ms, which cannot be`);
			}
			counted.set(name, [...(counted.get(name) ?? []), roundTrips].slice(-rounds)); // without the warm-up
			return time;
		},
	};
}

async function sendByClient(port: number): Promise<void> {
	const client = new QmtpClient({ port });
	const message = { sender: "sender@example.org", recipients: ["recipient@example.com"], message: BODY };
	const results = await Promise.all(Array.from({ length: MESSAGES }, () => client.send(message)));
	client.destroy();
	if (results.some(({ accepted }) => accepted.length !== 1)) throw new Error("a message was not accepted");
}

function sendBySmtp(port: number): Promise<void> {
	return sendByNodemailer({ port, messages: MESSAGES, sessions: 1, body: BODY });
}

function title(client: string, ms: number): string {
	return `${client}, ${ms} ms`;
}

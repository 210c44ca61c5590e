/** The link that is far: it must delay, hand on every byte, and count as it says, or its figures say nothing. */
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { text } from "node:stream/consumers";
import { describe, expect, onTestFinished, test } from "vitest";
import { Delay } from "../../benchmarks/latency/delay.js";
import { Link } from "../../benchmarks/latency/link.js";

describe("a delay", () => {
	test("hands over in order, and nothing before its time", async () => {
		const delay = new Delay(20);
		const handed: { readonly number: number; readonly after: number }[] = [];
		await new Promise<void>((resolve) => {
			let next = 0;
			const pass = () => {
				const number = next++;
				const passed = performance.now();
				delay.pass(() => {
					handed.push({ number, after: performance.now() - passed });
					if (next < 6) pass(); // while others wait
					if (handed.length === 6) resolve();
				});
			};
			for (let time = 0; time < 3; time++) pass();
		});
		expect(handed.map(({ number }) => number)).toEqual([0, 1, 2, 3, 4, 5]);
		expect(handed.every(({ after }) => after >= 20)).toBe(true);
	});

	test("can begin later, and what comes behind waits its turn", async () => {
		const delay = new Delay(1);
		const handed: string[] = [];
		const started = performance.now();
		await new Promise<void>((resolve) => {
			delay.pass(() => handed.push("late"), started + 30);
			delay.pass(() => {
				handed.push("behind");
				resolve();
			});
		});
		expect(handed).toEqual(["late", "behind"]);
		expect(performance.now() - started).toBeGreaterThanOrEqual(31);
	});
});

describe("a link", () => {
	test("hands on all bytes both ways, and the ends", async () => {
		const link = await openLink(2, (socket) => socket.pipe(socket));
		const client = connectTo(link);
		const sent = Array.from({ length: 3000 }, (_, line) => `line ${line} ${"x".repeat(line % 90)}\n`);
		for (const line of sent) client.write(line);
		client.end();
		expect(await text(client)).toBe(sent.join(""));
	});

	// Only the least is looked at, so a slow machine breaks nothing.
	test("takes one round trip to connect and one to answer, at least", async () => {
		const link = await openLink(30, (socket) => socket.pipe(socket));
		const started = performance.now();
		const client = connectTo(link);
		client.write("?");
		await once(client, "data");
		expect(performance.now() - started).toBeGreaterThanOrEqual(60);
		expect(link.takeRoundTrips()).toBe(2);
	});

	test("takes two round trips until a server is heard that speaks first", async () => {
		const link = await openLink(30, (socket) => void socket.write("220 hello\r\n"));
		const started = performance.now();
		await once(connectTo(link), "data");
		expect(performance.now() - started).toBeGreaterThanOrEqual(60);
		expect(link.takeRoundTrips()).toBe(2);
	});

	test("counts a round trip for each question that waits for the answer before it", async () => {
		const link = await openLink(1, (socket) => socket.pipe(socket));
		const client = connectTo(link);
		for (let question = 0; question < 5; question++) {
			client.write("?");
			await once(client, "data");
		}
		expect(link.takeRoundTrips()).toBe(6);
		expect(link.takeRoundTrips()).toBe(0);
	});

	test("counts one for many questions that wait for nothing, in however many pieces the answers come", async () => {
		const link = await openLink(1, (socket) => {
			let left = 100;
			socket.on("data", (chunk) => {
				left -= chunk.length;
				if (left === 0) answerSlowly(socket, 3);
			});
		});
		const client = connectTo(link);
		for (let question = 0; question < 100; question++) client.write("?");
		expect(await text(client)).toBe("!!!");
		expect(link.takeRoundTrips()).toBe(2);
	});

	test("counts the connections together", async () => {
		const link = await openLink(1, (socket) => socket.pipe(socket));
		const clients = Array.from({ length: 3 }, () => connectTo(link));
		for (const client of clients) client.write("?");
		await Promise.all(clients.map((client) => once(client, "data")));
		expect(link.takeRoundTrips()).toBe(6);
	});
});

/** A link to a server of this test. */
async function openLink(ms: number, serve: (socket: Socket) => void): Promise<Link> {
	const sockets = new Set<Socket>();
	const server = createServer({ allowHalfOpen: true }, (socket) => {
		sockets.add(socket);
		socket.on("error", () => {});
		serve(socket);
	});
	server.listen(0, "127.0.0.1");
	await once(server, "listening");
	const link = await Link.open((server.address() as AddressInfo).port, ms);
	onTestFinished(() => {
		link.close();
		for (const socket of sockets) socket.destroy();
		server.close();
	});
	return link;
}

function connectTo(link: Link): Socket {
	const client = connect({ port: link.port, host: "127.0.0.1", allowHalfOpen: true });
	client.on("error", () => {});
	onTestFinished(() => void client.destroy());
	return client;
}

/** Each piece in a turn of the event loop of its own. */
function answerSlowly(socket: Socket, pieces: number): void {
	if (pieces === 0) socket.end();
	else socket.write("!", () => setImmediate(() => answerSlowly(socket, pieces - 1)));
}

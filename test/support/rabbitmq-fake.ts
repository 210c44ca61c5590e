/**
 * A broker that does what a test asks for, and otherwise what RabbitMQ would: it lets everybody in, declares, and confirms.
 * It keeps no messages. What is said on the wire is encoded by amqplib.
 */
import { once } from "node:events";
import { createRequire } from "node:module";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";

const require = createRequire(import.meta.url);
const inner = createRequire(require.resolve("amqplib"));

/** AMQP's methods by name, as numbers. */
export const METHODS: Readonly<Record<MethodName, number>> = inner("./lib/defs.js");

export type MethodName =
	| "BasicAck"
	| "BasicNack"
	| "BasicPublish"
	| "BasicQos"
	| "BasicReturn"
	| `Channel${"Open" | "OpenOk" | "Close" | "CloseOk"}`
	| `ConfirmSelect${"" | "Ok"}`
	| `Connection${"Start" | "StartOk" | "Tune" | "Open" | "OpenOk" | "Close" | "CloseOk"}`
	| `QueueDeclare${"" | "Ok"}`
	| "BasicQosOk";

/** What the client said: a method, or a part of a message. */
export interface Said {
	readonly id?: number;
	readonly channel: number;
	readonly fields: { readonly queue?: string };
}

/** One connection to it. */
export class FakePeer {
	readonly socket: Socket;
	/** How many messages came, by channel. */
	readonly published: Map<number, number> = new Map();

	constructor(socket: Socket) {
		this.socket = socket;
	}

	/** Says something. */
	say(channel: number, method: MethodName, fields: object = {}): void {
		this.socket.write(encoded(channel, method, fields));
	}

	/** Does what RabbitMQ would. */
	answer({ id, channel, fields }: Said): void {
		if (id === METHODS.BasicPublish) {
			const tag = (this.published.get(channel) ?? 0) + 1;
			this.published.set(channel, tag);
			this.say(channel, "BasicAck", { deliveryTag: tag, multiple: false });
		} else if (id === METHODS.QueueDeclare) {
			this.say(channel, "QueueDeclareOk", { queue: fields.queue, messageCount: 0, consumerCount: 0 });
		} else {
			const [method, reply] = ANSWERS.find(([asked]) => id === METHODS[asked]) ?? [];
			if (method !== undefined) this.say(channel, ...(reply as readonly [MethodName, object]));
		}
	}
}

/** A broker. */
export class FakeBroker {
	readonly url: string;
	readonly peers: FakePeer[] = [];
	readonly #server: Server;

	private constructor(server: Server, on: (peer: FakePeer, said: Said) => boolean) {
		this.#server = server;
		this.url = `amqp://guest:guest@127.0.0.1:${(server.address() as AddressInfo).port}`;
		server.on("connection", (socket) => {
			const peer = new FakePeer(socket);
			this.peers.push(peer);
			socket.on("error", () => {});
			const beats = setInterval(() => socket.write(inner("./lib/frame.js").HEARTBEAT_BUF), 2000);
			socket.on("close", () => clearInterval(beats));
			listen(peer, on);
		});
	}

	/** @param on - Called with all that is said. Returns true for what it has answered, or leaves without an answer. */
	static async start(on: (peer: FakePeer, said: Said) => boolean = () => false): Promise<FakeBroker> {
		const server = createServer().listen(0, "127.0.0.1");
		await once(server, "listening");
		return new FakeBroker(server, on);
	}

	async stop(): Promise<void> {
		this.#server.close();
		for (const { socket } of this.peers) socket.destroy();
		await once(this.#server, "close");
	}
}

/** What is said, as bytes. */
export function encoded(channel: number, method: MethodName, fields: object = {}): Buffer {
	return inner("./lib/defs.js").encodeMethod(METHODS[method], channel, fields);
}

function listen(peer: FakePeer, on: (peer: FakePeer, said: Said) => boolean): void {
	const { parseFrame, decodeFrame } = inner("./lib/frame.js");
	let rest: Buffer = Buffer.alloc(0);
	let begun = false;
	peer.socket.on("data", (chunk: Buffer) => {
		rest = Buffer.concat([rest, chunk]);
		if (!begun) {
			if (rest.length < PROTOCOL_HEADER_BYTES) return;
			rest = rest.subarray(PROTOCOL_HEADER_BYTES);
			begun = true;
			peer.say(0, "ConnectionStart", START);
		}
		for (;;) {
			const frame = parseFrame(rest, 1e9);
			if (!frame) return;
			rest = frame.rest;
			const said = decodeFrame(frame) as Said;
			if (!on(peer, said)) peer.answer(said);
		}
	});
}

const PROTOCOL_HEADER_BYTES = 8;
const START = {
	versionMajor: 0,
	versionMinor: 9,
	serverProperties: {},
	mechanisms: Buffer.from("PLAIN"),
	locales: Buffer.from("en_US"),
};
const ANSWERS: readonly (readonly [
	asked: MethodName,
	reply: readonly [method: MethodName, fields: object],
])[] = [
	["ConnectionStartOk", ["ConnectionTune", { channelMax: 2047, frameMax: 131_072, heartbeat: 60 }]],
	["ConnectionOpen", ["ConnectionOpenOk", { knownHosts: "" }]],
	["ConnectionClose", ["ConnectionCloseOk", {}]],
	["ChannelOpen", ["ChannelOpenOk", { channelId: Buffer.alloc(0) }]],
	["ChannelClose", ["ChannelCloseOk", {}]],
	["ConfirmSelect", ["ConfirmSelectOk", {}]],
	["BasicQos", ["BasicQosOk", {}]],
];

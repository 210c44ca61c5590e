import type { AddressInfo } from "node:net";
import { expectAssignable, expectError, expectNotAssignable, expectType } from "tsd";
import {
	type Access,
	acceptAnyone,
	accepted,
	type Delivery,
	type DisconnectReport,
	deliveryWritable,
	type Envelope,
	type Message,
	type MessageInfo,
	type PackageReport,
	type Peer,
	ProtocolError,
	type ProtocolErrorCode,
	QmtpClient,
	type QmtpErrorCode,
	type QmtpResponse,
	QmtpServer,
	type Queue,
	type RecipientResult,
	recipientDomains,
	rejected,
	type SendResult,
	type ServerHooks,
	type Verdict,
} from "../../dist/index.js";
import {
	decodeNetstring,
	encodeNetstring,
	NetstringDecoder,
	readNetstrings,
} from "../../dist/netstring/index.js";
import {
	type EncodedPackage,
	encodePackage,
	PackageDecoder,
	type PackageEvent,
	ServerConnection,
} from "../../dist/protocol/index.js";
import { discardQueue } from "../../dist/queue/discard.js";
import { type MaildirQueue, maildirQueue } from "../../dist/queue/maildir.js";
import { type MemoryQueue, memoryQueue } from "../../dist/queue/memory.js";

// Queues
expectType<MemoryQueue>(memoryQueue());
expectType<MaildirQueue>(maildirQueue({ path: "mail", maxCopies: 3, minFree: 1 }));
expectAssignable<Queue>(discardQueue());
expectError(maildirQueue({}));
expectAssignable<Queue>({
	open: (message: MessageInfo): Delivery => ({
		write: () => {},
		commit: async ({ recipients }: Envelope) => recipients.map(() => accepted(message.id)),
		abort: async () => {},
	}),
});

// The server
const server = new QmtpServer({ queue: discardQueue() });
expectError(new QmtpServer({}));
expectError(new QmtpServer({ queue: discardQueue(), limits: { messages: 1 } }));
expectType<Promise<AddressInfo>>(server.listen());
expectType<Promise<AddressInfo>>(server.listen({ port: 0, host: "127.0.0.1" }));
expectType<Promise<string>>(server.listen({ path: "/run/qmtp" }));
expectType<Promise<void>>(server.close({ timeout: 1 }));
expectType<void>(server.destroy());
expectAssignable<AsyncDisposable>(server);
server.on("package", (report) => expectType<PackageReport>(report));
server.on("disconnect", (report) => expectType<DisconnectReport>(report));
server.on("connection", (peer) => expectType<Peer>(peer));
server.on("fault", (error) => expectType<Error>(error));
expectError(server.on("error", () => {}));
expectError(server.emit("package", 1));

// Hooks
expectAssignable<ServerHooks>({ recipient: recipientDomains(["example.com"]) });
expectAssignable<ServerHooks>({ recipient: acceptAnyone, sender: async () => undefined });
expectAssignable<ServerHooks>({ authorize: async (peer: Peer) => peer.remotePort > 0 });
expectAssignable<Access>({ relay: true, suffix: "@example.com", messageBytes: 1 });
expectNotAssignable<Access>({ relay: "yes" });
expectAssignable<Verdict>(rejected("no"));
expectNotAssignable<Verdict>(false);
expectAssignable<QmtpResponse>({ status: "K", description: "" });
expectNotAssignable<QmtpResponse>({ status: "k", description: "" });

// The client
const client = new QmtpClient({ host: "127.0.0.1", port: 209, maxRecipientsPerPackage: 1 });
const sending = client.send(
	{ sender: "", recipients: ["a@example.com"], message: "x" },
	{ signal: new AbortController().signal },
);
expectType<Promise<SendResult>>(sending);
expectType<readonly RecipientResult[]>((await sending).responses);
expectType<readonly string[]>((await sending).accepted);
expectError(client.send({ sender: "", message: "x" }));
expectError(client.send({ sender: "", recipients: [], message: 1 }));
expectAssignable<Message>({ path: "file" });
expectAssignable<Message>(new ReadableStream<Uint8Array>());
expectAssignable<Message>(Buffer.from("x"));
expectAssignable<AsyncDisposable>(client);

// The core
expectType<Uint8Array>(encodeNetstring("x"));
expectType<Uint8Array>(decodeNetstring(new Uint8Array()));
expectType<0 | 1 | 2 | 3>(new NetstringDecoder().next());
expectType<PackageEvent | null>(new PackageDecoder().next());
expectType<readonly QmtpResponse[]>(new ServerConnection().transmit() as readonly QmtpResponse[]);
expectType<EncodedPackage>(encodePackage({ sender: "", recipients: [] }, { encoding: "lf", length: 0 }));
for await (const netstring of readNetstrings(new ReadableStream<Uint8Array>())) {
	expectType<number>(netstring.length);
	for await (const bytes of netstring) expectType<Uint8Array>(bytes);
}
expectType<WritableStream<Uint8Array>>(
	deliveryWritable({} as Delivery, () => ({ sender: "", recipients: [] })),
);

// Errors
declare const error: ProtocolError;
expectType<ProtocolErrorCode>(error.code);
expectType<number>(error.offset);
expectAssignable<QmtpErrorCode>("ERR_NETSTRING_COMMA");
expectNotAssignable<QmtpErrorCode>("ERR_NOSUCH");
expectType<ProtocolError>(new ProtocolError("ERR_NETSTRING_COMMA", "x", 0));

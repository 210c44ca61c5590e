/** The main entry, `qmtp`: the server, the client, and the words that both speak. Queues have their own subpaths. */
export type { Body } from "./body/body.js";
export { type CallOptions, QmtpClient, type SendOptions } from "./client/client.js";
export type { Message, MessageFile, MessageOptions } from "./client/message.js";
export type { ClientLimits, ClientOptions, ClientTimeouts } from "./client/options.js";
export type { RecipientResult, SendResult } from "./client/result.js";
export type { SendTrace } from "./client/tracing.js";
export {
	ProtocolError,
	type ProtocolErrorCode,
	QmtpError,
	type QmtpErrorCode,
	QueueError,
	type QueueErrorCode,
	TransportError,
	type TransportErrorCode,
	UsageError,
	type UsageErrorCode,
} from "./errors.js";
export type { AddressEncoding, Envelope } from "./protocol/envelope.js";
export type { PackageLimits } from "./protocol/limits.js";
export type { MessageInfo } from "./protocol/message-info.js";
export type { Encoding } from "./protocol/package-event.js";
export type { Access, AccessRights, Peer, PeerProxy, PeerTls, ProxyTls } from "./protocol/peer.js";
export {
	accepted,
	deferred,
	type QmtpResponse,
	rejected,
	type Status,
	type Verdict,
} from "./protocol/response.js";
export { deliveryWritable, writableDelivery } from "./queue/adapters.js";
export type { Delivery, Queue } from "./queue/queue.js";
export { relayForCertificates } from "./server/certificates.js";
export {
	ConnectionLimit,
	type ConnectionLimiter,
	type ConnectionLimits,
	type NoPlace,
	type Place,
} from "./server/connection-limit.js";
export { acceptAnyone, recipientDomains, recipientsOf, type ServerHooks } from "./server/hooks.js";
export type { ListenTarget } from "./server/listening.js";
export type { ServerLimits, ServerOptions, ServerTimeouts } from "./server/options.js";
export type { ServerConnectionMessage, ServerPackageTrace } from "./server/package-trace.js";
export type { DisconnectReport, FaultContext, PackageReport } from "./server/reports.js";
export {
	type CloseOptions,
	QmtpServer,
	type ServerEvents,
} from "./server/server.js";
export type { ServerStats } from "./server/stats.js";
export type { WebStreamPair } from "./server/transport.js";

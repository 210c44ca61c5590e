/** The subpath `qmtp/protocol`: QMTP without a socket, in any JavaScript runtime. */
export { ClientConnection, type PackageResponses } from "./client-connection.js";
export { type AddressEncoding, checkAddress, type Envelope, encodeAddress } from "./envelope.js";
export { DEFAULT_PACKAGE_LIMITS, LONGEST_NETSTRING, type PackageLimits } from "./limits.js";
export { LineDecoder } from "./line-decoder.js";
export type { MessageInfo } from "./message-info.js";
export {
	BODY,
	MESSAGE,
	PACKAGE_END,
	PackageDecoder,
	type PackageStep,
	RECIPIENT,
	SENDER,
} from "./package-decoder.js";
export { type EncodedPackage, encodePackage } from "./package-encoder.js";
export type {
	AddressEvent,
	BodyEvent,
	Encoding,
	EndEvent,
	MessageEvent,
	PackageEvent,
} from "./package-event.js";
export type { Access, AccessRights, Peer } from "./peer.js";
export {
	accepted,
	deferred,
	encodeResponses,
	type QmtpResponse,
	rejected,
	type Status,
	type Verdict,
} from "./response.js";
export { ResponseDecoder } from "./response-decoder.js";
export { ResponseQueue } from "./response-queue.js";
export { type CloseEvent, type Numbered, ServerConnection, type ServerEvent } from "./server-connection.js";

/** What a server knows of a message, made up. */
import type { MessageInfo } from "../../src/protocol/message-info.js";

let number = 0;

/** A `MessageInfo` with an id of its own: LF, of unknown length, from a client of 127.0.0.1. */
export function messageInfo(overrides: Partial<MessageInfo> = {}): MessageInfo {
	return {
		id: String(++number),
		peer: { remoteAddress: "127.0.0.1", remotePort: 40000, localAddress: "127.0.0.1", localPort: 209 },
		access: {},
		encoding: "lf",
		length: undefined,
		exact: true,
		addressEncoding: "utf-8",
		...overrides,
	};
}

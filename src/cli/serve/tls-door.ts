/** The TLS door of `qmtp serve`: one more server, with the same queue and hooks. */

import type { ServerOptions } from "../../server/options.js";
import { QmtpServer } from "../../server/server.js";
import type { TlsFileContents } from "../tls-files.js";

/** A server for TLS. A certificate of the client's is looked at, and nobody is turned away for want of one. */
export function tlsServer(options: ServerOptions, contents: TlsFileContents): QmtpServer {
	const asks = contents.ca === undefined ? {} : { requestCert: true, rejectUnauthorized: false };
	return new QmtpServer({ ...options, tls: { ...contents, ...asks } });
}

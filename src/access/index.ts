/** The subpath `qmtp/access`: tcpserver's rules, qmail's control files and cdb, for deciding who may send what. */
export { Cdb, type CdbRecord } from "./cdb.js";
export {
	ControlDirectory,
	type ControlDirectoryOptions,
	controlLine,
	controlLines,
	controlNumber,
	readControl,
} from "./control.js";
export { databytesLimit } from "./databytes.js";
export { RecipientHosts } from "./rcpthosts.js";
export { type HostResolver, type RemoteHostOptions, remoteHost } from "./remote-host.js";
export { RulesFile } from "./rules-file.js";
export { rightsOfRule, type TcpClient, type TcpRule, type TcpRules } from "./tcprules.js";
export { tcpRulesOfCdb } from "./tcprules-cdb.js";
export { parseTcpRules } from "./tcprules-text.js";
export { WatchedFile, type WatchedFileOptions } from "./watched-file.js";

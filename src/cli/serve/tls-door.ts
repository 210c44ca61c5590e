/** The TLS door of `qmtp serve`: one more server, with the same queue and hooks. SIGHUP reads its certificate again. */
import { X509Certificate } from "node:crypto";
import type { AddressInfo } from "node:net";
import type { ServerOptions } from "../../server/options.js";
import { QmtpServer } from "../../server/server.js";
import { type Arguments, WrongUse, wholeNumber } from "../command.js";
import { follow, type Log } from "../log.js";
import {
	certificateText,
	readTlsFiles,
	type TlsFileContents,
	type TlsFiles,
	tlsFiles,
} from "../tls-files.js";

/** Where the door is to be, and with which files. */
export interface TlsDoorSettings {
	readonly port: number;
	readonly files: TlsFiles;
	/** What was read from them. */
	readonly contents: TlsFileContents;
}

/** Reads the arguments and the files; null if there is to be no door. @throws WrongUse, or an Error about a file. */
export async function tlsDoorSettings(args: Arguments): Promise<TlsDoorSettings | null> {
	const files = tlsFiles(args);
	const port = wholeNumber(args, "tls-port", 0, 65535);
	if (files.cert === undefined) {
		const given = ["tls-port", "tls-ca"].find((name) => args.one(name) !== undefined);
		if (given !== undefined) throw new WrongUse(`--${given} needs --tls-cert and --tls-key`);
		return null;
	}
	return { port: port ?? QMTPS_PORT, files, contents: await readTlsFiles(files) };
}

/** The door, which does not listen yet. */
export class TlsDoor {
	readonly server: QmtpServer;
	readonly #settings: TlsDoorSettings;
	readonly #log: Log;
	#reading: Promise<void> = Promise.resolve();

	constructor(options: ServerOptions, settings: TlsDoorSettings, log: Log) {
		const { contents } = settings;
		// A certificate of the client's is looked at, and nobody is turned away for want of one.
		const asks = contents.ca === undefined ? {} : { requestCert: true, rejectUnauthorized: false };
		this.server = new QmtpServer({ ...options, tls: { ...contents, ...asks } });
		this.#settings = settings;
		this.#log = log;
		follow(this.server, log);
	}

	/** Opens it. From then on SIGHUP reads the files again. @throws TransportError `ERR_QMTP_LISTEN`. */
	async listen(host: string, connections: number): Promise<AddressInfo> {
		this.#warnIfExpired(this.#settings.contents);
		const address = await this.server.listen({ host, port: this.#settings.port });
		this.#log.listening(address, connections);
		process.on("SIGHUP", () => {
			this.#reading = this.#reading.then(() => this.#reload());
		});
		return address;
	}

	/** Tells the operator if the files cannot be read any more, as the process has become another user. */
	async checkReadable(): Promise<void> {
		await readTlsFiles(this.#settings.files).catch((error: Error) => {
			this.#log.warning(`SIGHUP will not bring new certificates: ${error.message}`);
		});
	}

	async #reload(): Promise<void> {
		try {
			const contents = await readTlsFiles(this.#settings.files);
			this.server.updateSecureContext(contents);
			const certificate = new X509Certificate(contents.cert ?? "");
			this.#log.warning(`SIGHUP: new connections get the certificate of ${certificateText(certificate)}`);
			this.#warnIfExpired(contents);
		} catch (cause) {
			const message = `SIGHUP: the certificates stay as they were: ${(cause as Error).message}`;
			this.#log.fault(new Error(message), {});
		}
	}

	#warnIfExpired({ cert = "" }: TlsFileContents): void {
		const certificate = new X509Certificate(cert);
		if (new Date(certificate.validTo).getTime() > Date.now()) return;
		this.#log.warning(
			`the certificate in ${this.#settings.files.cert} has expired: ${certificateText(certificate)}`,
		);
	}
}

const QMTPS_PORT = 6209;

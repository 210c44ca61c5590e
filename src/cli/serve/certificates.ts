/** The certificates of `qmtp serve`, which SIGHUP reads again. */
import { X509Certificate } from "node:crypto";
import type { Log } from "../log.js";
import { certificateText, readTlsFiles, type TlsFileContents, type TlsFiles } from "../tls-files.js";

/** The files for TLS, and what was read from them. */
export class ServeCertificates {
	readonly #files: TlsFiles;
	readonly #log: Log;
	#contents: TlsFileContents;
	#reading: Promise<void> = Promise.resolve();

	private constructor(files: TlsFiles, contents: TlsFileContents, log: Log) {
		this.#files = files;
		this.#contents = contents;
		this.#log = log;
	}

	/** @throws An Error that says which file cannot be used, and why. */
	static async read(files: TlsFiles, log: Log): Promise<ServeCertificates> {
		return new ServeCertificates(files, await readTlsFiles(files), log);
	}

	/** What was read last and could be used. */
	get contents(): TlsFileContents {
		return this.#contents;
	}

	/** Tells the operator if the certificate is not valid any more. */
	warnIfExpired(): void {
		const certificate = this.#certificate();
		if (new Date(certificate.validTo).getTime() > Date.now()) return;
		this.#log.warning(`the certificate in ${this.#files.cert} has expired: ${certificateText(certificate)}`);
	}

	/** Tells the operator if the files cannot be read any more, as the process has become another user. */
	async warnIfUnreadable(): Promise<void> {
		await readTlsFiles(this.#files).catch((error: Error) => {
			this.#log.warning(`SIGHUP will not bring new certificates: ${error.message}`);
		});
	}

	/** From now on SIGHUP reads them again. @param use - Puts them into force, or throws. */
	reloadOnHangUp(use: (contents: TlsFileContents) => void): void {
		process.on("SIGHUP", () => {
			this.#reading = this.#reading.then(() => this.#reload(use));
		});
	}

	async #reload(use: (contents: TlsFileContents) => void): Promise<void> {
		try {
			const contents = await readTlsFiles(this.#files);
			use(contents);
			this.#contents = contents;
			this.#log.note(
				`SIGHUP: new connections get the certificate of ${certificateText(this.#certificate())}`,
			);
			this.warnIfExpired();
		} catch (cause) {
			const message = `SIGHUP: the certificates stay as they were: ${(cause as Error).message}`;
			this.#log.fault(new Error(message), {});
		}
	}

	#certificate(): X509Certificate {
		return new X509Certificate(this.#contents.cert ?? "");
	}
}

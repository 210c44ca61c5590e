/** Certificates and keys that options of the command line name, read so that what is wrong with them is said plainly. */
import { createPrivateKey, type KeyObject, X509Certificate } from "node:crypto";
import { readFile } from "node:fs/promises";
import { type Arguments, type Option, WrongUse } from "./command.js";

/** The files that were named. */
export interface TlsFiles {
	readonly cert: string | undefined;
	readonly key: string | undefined;
	readonly ca: string | undefined;
}

/** What is in them, in PEM, as Node's TLS takes it; what was not named is not there. */
export interface TlsFileContents {
	readonly cert?: string;
	readonly key?: string;
	readonly ca?: string;
}

/** The options of a client that speaks TLS. */
export const CLIENT_TLS_OPTIONS: Readonly<Record<"tls" | "tls-ca", Option>> = {
	tls: { help: "speak TLS; the port is then 6209 if none is given" },
	"tls-ca": {
		value: "FILE",
		help: "trust the authorities in this file, and no others",
		fallback: "the system's",
	},
};

/** The files that the command line names. @throws WrongUse if one is missing. */
export function tlsFiles(args: Arguments): TlsFiles {
	const [cert, key, ca] = [args.one("tls-cert"), args.one("tls-key"), args.one("tls-ca")];
	if (cert !== undefined && key === undefined) throw new WrongUse("--tls-cert needs --tls-key");
	if (key !== undefined && cert === undefined) throw new WrongUse("--tls-key needs --tls-cert");
	return { cert, key, ca };
}

/** The files of a client's command line; null if it is to speak no TLS. @throws WrongUse. */
export function clientTlsFiles(args: Arguments): TlsFiles | null {
	const files = tlsFiles(args);
	if (args.one("tls") !== undefined) return files;
	const given = ["tls-ca", "tls-cert"].find((name) => args.one(name) !== undefined);
	if (given !== undefined) throw new WrongUse(`--${given} needs --tls`);
	return null;
}

/** Reads the files. @throws An Error that says which one cannot be used, and why. */
export async function readTlsFiles({ cert, key, ca }: TlsFiles): Promise<TlsFileContents> {
	const [certText, keyText, caText] = await Promise.all([cert, key, ca].map(readText));
	const certificate = certText === undefined ? undefined : certificateOf(certText, cert as string);
	if (caText !== undefined) certificateOf(caText, ca as string);
	if (keyText !== undefined) {
		const isIts = certificate?.checkPrivateKey(keyOf(keyText, key as string)) !== false;
		if (!isIts) throw new Error(`the key in ${key} is not that of the certificate in ${cert}`);
	}
	return {
		...(certText === undefined ? {} : { cert: certText }),
		...(keyText === undefined ? {} : { key: keyText }),
		...(caText === undefined ? {} : { ca: caText }),
	};
}

/** A certificate in words, as far as people ask: `mx.example.com valid until 2030-01-31`. */
export function certificateText(certificate: X509Certificate): string {
	const { subject = "", subjectAltName = "", validTo } = certificate;
	const name = /^CN=(.*)$/m.exec(subject)?.[1] ?? /DNS:([^,]+)/.exec(subjectAltName)?.[1] ?? "nobody";
	return `${name} valid until ${new Date(validTo).toISOString().slice(0, 10)}`;
}

async function readText(path: string | undefined): Promise<string | undefined> {
	if (path === undefined) return undefined;
	return readFile(path, "utf8").catch(({ code, message }: NodeJS.ErrnoException) => {
		throw new Error(`cannot read ${path}: ${REASONS[code ?? ""] ?? message}`);
	});
}

function certificateOf(text: string, path: string): X509Certificate {
	try {
		return new X509Certificate(text);
	} catch (cause) {
		throw new Error(`${path} holds no certificate in PEM`, { cause });
	}
}

function keyOf(text: string, path: string): KeyObject {
	try {
		return createPrivateKey(text);
	} catch (cause) {
		throw new Error(`${path} holds no private key in PEM, or one with a passphrase`, { cause });
	}
}

const REASONS: Readonly<Record<string, string>> = {
	ENOENT: "there is no such file",
	EACCES: "permission denied",
	EISDIR: "it is a directory",
};

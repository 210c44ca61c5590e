/** Certificates for tests, made by openssl: such that sign themselves, and such of an authority, good and bad. */
import { execFile, execFileSync } from "node:child_process";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { describe, test } from "vitest";
import { withDirectory } from "./program.js";

/** A certificate and its key, in PEM. */
export interface TestCertificate {
	readonly cert: string;
	readonly key: string;
}

/** What stands in a certificate that an authority makes. */
export interface CertificateRequest {
	/** The common name. */
	readonly name: string;
	/** subjectAltName as openssl writes it; without one there are no other names. */
	readonly names?: string;
	/** Less than 0: expired before it was made. */
	readonly days?: number;
}

/** An authority: what it signs is to be trusted by who has its certificate as `ca`. */
export interface TestAuthority {
	readonly cert: string;
	issue(request: CertificateRequest): Promise<TestCertificate>;
}

const { CI } = process.env;
const EC = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
const openssl = (args: readonly string[]) => promisify(execFile)("openssl", [...args]);

/** A certificate for a host's name, signed by its own key. */
export async function selfSigned(host: string): Promise<TestCertificate> {
	let made: TestCertificate | undefined;
	await withDirectory(async (directory) => {
		const [cert, key] = [join(directory, "cert.pem"), join(directory, "key.pem")];
		const names = ["-subj", `/CN=${host}`, "-addext", `subjectAltName=DNS:${host}`];
		await openssl(["req", "-x509", ...EC, "-days", "2", ...names, "-keyout", key, "-out", cert]);
		made = { cert: await readFile(cert, "utf8"), key: await readFile(key, "utf8") };
	});
	return made as TestCertificate;
}

/** An authority of that name. */
export async function authority(name = "Test Authority"): Promise<TestAuthority> {
	const { cert, key } = await selfSigned(name);
	let serial = 1;
	return { cert, issue: (request) => issue({ cert, key }, request, serial++) };
}

async function issue(
	issuer: TestCertificate,
	{ name, names, days = 2 }: CertificateRequest,
	serial: number,
): Promise<TestCertificate> {
	let made: TestCertificate | undefined;
	await withDirectory(async (directory) => {
		const file = (name: string) => join(directory, name);
		await writeFile(file("ca.pem"), issuer.cert);
		await writeFile(file("ca.key"), issuer.key);
		await writeFile(file("ext"), names === undefined ? "" : `subjectAltName=${names}\n`);
		const subject = name === "" ? "/O=nobody" : `/CN=${name}`;
		await openssl(["req", ...EC, "-subj", subject, "-keyout", file("key"), "-out", file("request")]);
		const by = ["-CA", file("ca.pem"), "-CAkey", file("ca.key"), "-set_serial", `${serial}`];
		const what = ["-in", file("request"), "-extfile", file("ext"), "-days", `${days}`, "-out", file("cert")];
		await openssl(["x509", "-req", ...by, ...what]);
		made = { cert: await readFile(file("cert"), "utf8"), key: await readFile(file("key"), "utf8") };
	});
	return made as TestCertificate;
}

/** Tests that need certificates; without openssl they are skipped, but not where all must run. */
export function describeWithOpenssl(name: string, suite: () => void | Promise<void>): void {
	try {
		execFileSync("openssl", ["version"], { stdio: "ignore" });
	} catch {
		test(name, (context) => {
			const note = "not installed here: openssl, which makes the certificates";
			if (CI === "true") throw new Error(note);
			context.skip(note);
		});
		return;
	}
	describe(name, suite);
}

/** What keeps a client from speaking TLS with a server, in the words of people: Node and OpenSSL have codes for it. */

/**
 * Why there is no TLS.
 *
 * @param cause - What broke the handshake.
 * @param name - The host that the certificate should be for.
 */
export function tlsProblem(cause: unknown, name: string): string {
	const { code = "", reason, message, cert } = cause as OpenSslError;
	if (code === "ECONNRESET") return CLOSED_IN_HANDSHAKE;
	const problem = certificateProblem(code, name, cert);
	if (problem !== null) return problem;
	if (NO_TLS.has(code)) return "the server does not speak TLS on this port";
	if (NO_VERSION.test(code)) return "the server and this client have no version of TLS in common";
	if (NO_CERTIFICATE.test(code)) return "the server asks for a client certificate, and there is none to give";
	if (BAD_CERTIFICATE.test(code))
		return `the server does not accept this client's certificate (${reason ?? code})`;
	return reason ?? message;
}

/**
 * What is wrong with a server's certificate.
 *
 * @param code - Node's code or OpenSSL's.
 * @param name - The host that it should be for.
 * @returns Null if the code is about something else.
 */
export function certificateProblem(
	code: string,
	name: string,
	certificate: OpenSslError["cert"],
): string | null {
	if (code !== "ERR_TLS_CERT_ALTNAME_INVALID") return CERTIFICATES[code] ?? null;
	const { subjectaltname, subject } = certificate ?? {};
	const names = (subjectaltname ?? String(subject?.CN ?? "nobody")).replace(/DNS:|IP Address:/g, "");
	return `the server's certificate is not for ${name}, but for ${names}`;
}

/** Also if the server ends its side without a word, of which no code tells. */
export const CLOSED_IN_HANDSHAKE: string =
	"the server closed the connection in the handshake: does it speak TLS on this port, and take connections?";

/** OpenSSL's `message` is made for its developers; its `reason` is the part for people. */
type OpenSslError = NodeJS.ErrnoException & {
	readonly reason?: string;
	readonly cert?: { readonly subjectaltname?: string; readonly subject?: { readonly CN?: unknown } };
};

const UNKNOWN_ISSUER =
	"the server's certificate is signed by nobody known here: to trust its authority, name that as ca";
const CERTIFICATES: Readonly<Record<string, string>> = {
	CERT_HAS_EXPIRED: "the server's certificate has expired",
	CERT_NOT_YET_VALID: "the server's certificate is not valid yet: is this host's clock right?",
	CERT_REVOKED: "the server's certificate was revoked",
	DEPTH_ZERO_SELF_SIGNED_CERT:
		"the server's certificate is self-signed: to trust it nevertheless, name it as ca",
	SELF_SIGNED_CERT_IN_CHAIN: UNKNOWN_ISSUER,
	UNABLE_TO_GET_ISSUER_CERT: UNKNOWN_ISSUER,
	UNABLE_TO_GET_ISSUER_CERT_LOCALLY: UNKNOWN_ISSUER,
	UNABLE_TO_VERIFY_LEAF_SIGNATURE: UNKNOWN_ISSUER,
	INVALID_PURPOSE: "the server's certificate is not one for servers",
};
const NO_TLS = new Set([
	"ERR_SSL_WRONG_VERSION_NUMBER",
	"ERR_SSL_PACKET_LENGTH_TOO_LONG",
	"ERR_SSL_UNEXPECTED_MESSAGE",
	"ERR_SSL_BAD_RECORD_TYPE",
]);
const NO_VERSION = /PROTOCOL_VERSION|UNSUPPORTED_PROTOCOL/;
const NO_CERTIFICATE = /ALERT_CERTIFICATE_REQUIRED/;
const BAD_CERTIFICATE =
	/ALERT_(?:UNKNOWN_CA|BAD_CERTIFICATE|UNSUPPORTED_CERTIFICATE|CERTIFICATE_|ACCESS_DENIED)/;

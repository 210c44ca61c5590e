/** Addresses of jobs, as deliverers want them, and the destinations that they name. */
import { type AddressEncoding, type Envelope, encodeAddress } from "../protocol/envelope.js";
import { BAD_RECIPIENT, BAD_SENDER } from "../protocol/refusals.js";
import { type WireEnvelope, wireEnvelope } from "../queue/forward/envelope.js";
import { asciiName } from "../routing/domain-name.js";

/** An envelope in another encoding. Who cannot stand in it gets D, and all do if the sender cannot. */
export function envelopeIn(
	to: AddressEncoding,
	{ sender, recipients }: Envelope,
	from: AddressEncoding,
): WireEnvelope {
	if (to === "latin1") return wireEnvelope({ sender, recipients }, from);
	const sent = asUtf8(sender, from);
	if (sent === null) return { envelope: null, refusals: recipients.map(() => BAD_SENDER) };
	const expressed: string[] = [];
	const refusals = recipients.map((recipient) => {
		const address = asUtf8(recipient, from);
		if (address === null) return BAD_RECIPIENT;
		expressed.push(address);
		return null;
	});
	return { envelope: expressed.length === 0 ? null : { sender: sent, recipients: expressed }, refusals };
}

/** The domain of an address in lower case: what stands behind its last `@`. Empty if there is none. */
export function domainOf(address: string, encoding: AddressEncoding): string {
	const at = address.lastIndexOf("@");
	return at === -1 ? "" : asciiName(asUtf8(address.slice(at + 1), encoding) ?? "");
}

/** The address as text, for people. What is no UTF-8 has U+FFFD. */
export function readableAddress(address: string, encoding: AddressEncoding): string {
	if (encoding === "utf-8" || IS_ASCII.test(address)) return address;
	return Buffer.from(address, "latin1").toString("utf8");
}

function asUtf8(address: string, encoding: AddressEncoding): string | null {
	if (encoding === "utf-8" || IS_ASCII.test(address)) return address;
	try {
		return strictUtf8.decode(encodeAddress(address, encoding));
	} catch {
		return null;
	}
}

const strictUtf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const IS_ASCII = /^\p{ASCII}*$/u;

/** Ways to encode packages. Each yields the bytes of a whole package, and looks at both ends of each piece. */
import { type Envelope, encodeAddress, encodePackage } from "qmtp/protocol";
import { netstringBytes } from "../fixtures/packages.js";
import type { Findings, Pass } from "../measure.js";

/** All of them, over the same envelope and body. */
export function encodePasses(envelope: Envelope, body: Uint8Array, items: number): Pass[] {
	return [
		{ name: "one concat for each netstring", run: () => packages(items, () => joined(envelope, body)) },
		{ name: "encodePackage: head and tail", run: () => packages(items, () => framed(envelope, body)) },
	];
}

/** As the specification says it, without a thought about speed. */
function joined({ sender, recipients }: Envelope, body: Uint8Array): readonly Uint8Array[] {
	const list = Buffer.concat(recipients.map((recipient) => netstringBytes(encodeAddress(recipient))));
	const message = netstringBytes(Buffer.concat([LF, body]));
	return [message, netstringBytes(encodeAddress(sender)), netstringBytes(list)];
}

/** As the client does it: the body is not touched. */
function framed(envelope: Envelope, body: Uint8Array): readonly Uint8Array[] {
	const { head, tail } = encodePackage(envelope, { encoding: "lf", length: body.length });
	return [head, body, tail];
}

function packages(items: number, encode: () => readonly Uint8Array[]): Findings {
	let [bytes, touched] = [0, 0];
	for (let item = 0; item < items; item++) {
		for (const piece of encode()) {
			bytes += piece.length;
			touched += (piece[0] as number) + (piece[piece.length - 1] as number);
		}
	}
	return { items, bytes, touched };
}

const LF = Uint8Array.of(0x0a);

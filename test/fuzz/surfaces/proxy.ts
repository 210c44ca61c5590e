/** The header that a proxy sends: lines of version 1, and version 2 with all that may be attached. */
import fc from "fast-check";
import { bytesOf, textOf } from "../../support/bytes.js";
import { type Outcome, outcome } from "../../support/proxy-decoding.js";
import { binaryHeader, HAPROXY, tlsTlv, tlv, withChecksum } from "../../support/proxy-headers.js";
import { mutated } from "../mutations.js";
import { anyCuts } from "../streams.js";
import { chunksOf, type Stream, same, surface } from "../surface.js";

const value = fc.uint8Array({ maxLength: 40 });
const attached = fc.array(
	fc.oneof(
		fc.tuple(fc.constantFrom(1, 2, 4, 5, 0x30, 0xe0), value).map(([type, bytes]) => tlv(type, bytes)),
		fc
			.tuple(fc.nat(7), fc.nat(1), fc.constantFrom(0x21, 0x22, 0x23, 0x25), value)
			.map(([client, verify, type, bytes]) => tlsTlv(client, verify, [tlv(type, bytes)])),
	),
	{ maxLength: 3 },
);
const binary = fc
	.record({
		command: fc.constantFrom(0x20, 0x21),
		family: fc.constantFrom(0, 0x11, 0x21, 0x31),
		addresses: fc.constantFrom(0, 12, 36, 216).map((length) => new Uint8Array(length).fill(200)),
		tlvs: attached,
	})
	.map(binaryHeader);
const headers = fc.oneof(
	fc.constantFrom(
		"PROXY TCP4 192.0.2.1 192.0.2.2 1 65535\r\n",
		"PROXY TCP6 2001:db8::1 ::1 4711 209\r\n",
		"PROXY UNKNOWN\r\n",
		"PROXY UNKNOWN ffff::1 ::1 65535 65535\r\n",
	),
	fc.oneof(binary, binary.map(withChecksum), fc.constantFrom(...Object.values(HAPROXY))).map(textOf),
);

/**
 * The cuts make no difference, what is behind the header is left as it is, and a line of version 1 is what its grammar says.
 */
export const proxy = surface(
	"proxy",
	500,
	fc.record({ text: mutated(headers.map((header) => `${header}5:hello,`)), cuts: anyCuts }),
	(stream: Stream) => {
		const whole = outcome([bytesOf(stream.text)]);
		same(outcome(chunksOf(stream)), whole);
		const line = LINE.exec(stream.text);
		if (line !== null)
			same(summary(whole), { source: `${line[1]} ${line[2]}`, rest: stream.text.slice(line[0].length) });
	},
);

function summary({ header, rest }: Outcome): object {
	return { source: `${header?.source?.address} ${header?.source?.port}`, rest };
}

const LINE = /^PROXY TCP4 (192\.0\.2\.1) 192\.0\.2\.2 ([1-9]\d{0,3}) (?:[1-9]\d{0,3})\r\n/;

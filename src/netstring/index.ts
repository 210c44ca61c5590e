/** The subpath `qmtp/netstring`: netstrings on byte arrays and Web Streams, in any JavaScript runtime. */
export {
	BYTES,
	type DecodeNetstringOptions,
	decodeNetstring,
	END,
	LENGTH,
	NEED_DATA,
	NetstringDecoder,
	type NetstringDecoderOptions,
	type NetstringStep,
} from "./decoder.js";
export { encodeNetstring, netstringHead, netstringSize, writeHead, writeNetstring } from "./encoder.js";
export { type Netstring, type ReadNetstringsOptions, readNetstrings } from "./reader.js";
export {
	InterpretationDecoder,
	type InterpretationDecoderOptions,
	NetstringDecoderStream,
	type NetstringDecoderStreamOptions,
	NetstringEncoderStream,
} from "./streams.js";

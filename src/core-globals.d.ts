// The two globals that the core uses beyond ECMAScript. The core is compiled without Node or DOM types
// (tsconfig.core.json), so whatever else it reaches for is a compile error.
declare class TextEncoder {
	encode(input?: string): Uint8Array;
}
declare class TextDecoder {
	constructor(label?: string, options?: { fatal?: boolean; ignoreBOM?: boolean });
	decode(input?: Uint8Array): string;
}

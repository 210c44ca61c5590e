/** A file of tcpserver's rules that is read again when it has changed. */
import { UsageError } from "../errors.js";
import type { TcpRules } from "./tcprules.js";
import { tcpRulesOfCdb } from "./tcprules-cdb.js";
import { parseTcpRules } from "./tcprules-text.js";
import { WatchedFile, type WatchedFileOptions } from "./watched-file.js";

/**
 * Rules in a file: text, or a cdb that `tcprules` has compiled of it. A name that ends in `.cdb` says so, and so does a NUL,
 * which no text has.
 *
 * A file without a rule is an error. tcpserver would let everybody in, which is what a file is for a moment while somebody
 * writes it; `:allow` says the same and is meant.
 */
export class RulesFile extends WatchedFile<TcpRules> {
	readonly #path: string;

	constructor(path: string, options: Omit<WatchedFileOptions, "mayBeMissing">) {
		const parse = (bytes: Uint8Array) => {
			const rules = path.endsWith(".cdb") || bytes.includes(0) ? tcpRulesOfCdb(bytes) : parseTcpRules(bytes);
			if (!rules.isEmpty) return rules;
			throw new UsageError("ERR_QMTP_RULES", "there is no rule in it; to let everybody in say :allow");
		};
		super(path, parse, { ...options, mayBeMissing: false });
		this.#path = path;
	}

	/**
	 * The rules of the last good version.
	 *
	 * @throws UsageError `ERR_QMTP_CONTROL` before there was one: no rules at all would let everybody in.
	 */
	override get value(): TcpRules {
		const rules = super.value;
		if (rules === null) throw new UsageError("ERR_QMTP_CONTROL", `${this.#path}: was not read yet`);
		return rules;
	}
}

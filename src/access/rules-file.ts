/** A file of tcpserver's rules that is read again when it has changed. */
import { UsageError } from "../errors.js";
import type { TcpRules } from "./tcprules.js";
import { tcpRulesOfCdb } from "./tcprules-cdb.js";
import { parseTcpRules } from "./tcprules-text.js";
import { WatchedFile, type WatchedFileOptions } from "./watched-file.js";

/** Rules in a file: one whose name ends in `.cdb` was compiled by `tcprules`, all others are text. */
export class RulesFile extends WatchedFile<TcpRules> {
	readonly #path: string;

	constructor(path: string, options: Omit<WatchedFileOptions, "mayBeMissing">) {
		super(path, path.endsWith(".cdb") ? tcpRulesOfCdb : parseTcpRules, { ...options, mayBeMissing: false });
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

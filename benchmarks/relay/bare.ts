/**
 * The bare loop beside the server: values as large as its packages into an LMDB database, one `put` each, so many of them
 * waiting for their sync at a time. Arguments: the database, the bytes of a value, how many there are, and how many wait.
 */
import { createRequire } from "node:module";
import { answerParent } from "../child.js";

/** What is used of lmdb, whose own declarations need other settings of the compiler than ours. */
interface Lmdb {
	open(options: { path: string; overlappingSync: boolean; encoding: "binary" }): {
		put(key: string, value: Uint8Array): Promise<boolean>;
		clearAsync(): Promise<void>;
	};
}

const { open } = createRequire(import.meta.url)("lmdb") as Lmdb;
const [path = "", bytes, messages, atOnce] = process.argv.slice(2);
const database = open({ path, overlappingSync: false, encoding: "binary" });
const value = Buffer.alloc(Number(bytes), "x");
let next = 1_000_000_000;

answerParent({
	async seconds() {
		const last = next + Number(messages);
		const started = performance.now();
		const work = async () => {
			// A copy each, as a body out of a socket is one.
			while (next < last) await database.put(String(next++), Buffer.from(value));
		};
		await Promise.all(Array.from({ length: Number(atOnce) }, work));
		const time = (performance.now() - started) / 1000;
		await database.clearAsync(); // the spool is empty again, too
		return time;
	},
});

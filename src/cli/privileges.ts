/** Giving up root's rights, as setuidgid does. */
import { execFileSync } from "node:child_process";
import { WrongUse } from "./command.js";

/**
 * A function by which the process becomes the user of this name, with its first group and no other. It does nothing if no
 * name was given, or if the process is that user already.
 *
 * @throws WrongUse if there is no such user, or if the process may not become it: the function throws the same if it
 * turns out then.
 */
export function userSwitch(name: string | undefined): () => void {
	if (name === undefined) return () => {};
	const uid = idOf("-u", name);
	const gid = idOf("-g", name);
	if (uid === 0) throw new WrongUse(`--user ${name}: that is root, so nothing would be given up`);
	if (process.getuid?.() === uid) return () => {};
	if (process.getuid?.() !== 0) throw new WrongUse(`--user ${name}: only root can become another user`);
	return () => {
		process.setgroups?.([gid]);
		process.setgid?.(gid);
		process.setuid?.(uid);
	};
}

function idOf(option: "-u" | "-g", name: string): number {
	let id = "";
	try {
		id = execFileSync("id", [option, "--", name], { encoding: "utf8", stdio: "pipe" }).trim();
	} catch {
		// It says so by its exit code.
	}
	if (!/^\d+$/.test(id)) throw new WrongUse(`--user ${name}: there is no user of this name`);
	return Number(id);
}

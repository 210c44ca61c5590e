/**
 * Makes the checkout ready to run: dependencies installed, sources compiled, each only when missing or stale.
 * Every script of the house starts with it, so a fresh clone needs no other command than the one that is wanted.
 *
 * Stale is told by content and not by time, since a checkout, a copy or an unpacked archive sets times as it likes.
 * Nothing outside Node itself may be imported here: this runs before `npm ci`. It does not lock: two of them at once
 * in one checkout get in each other's way.
 *
 * `node scripts/setup.mjs` does the same by hand.
 */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** The top folder of the checkout, without a slash at the end. */
export const root = fileURLToPath(new URL("..", import.meta.url)).replace(/[/\\]$/, "");

/**
 * Installs and builds what is missing or stale. What npm and tsc have to say goes to stderr. If one of them fails, the
 * process ends with its exit code.
 *
 * @param {{ quiet?: boolean }} [options] - `quiet`: say nothing unless something fails.
 */
export function setup({ quiet = false } = {}) {
	checkNode();
	if (!dependenciesAreFresh()) {
		run("installing dependencies", "npm", ["ci", "--include=dev"], quiet);
		writeFileSync(lockStamp, hash(readFileSync(lockFile)));
	}
	const sources = hashOfSources();
	if (read(buildStamp) !== sources) {
		rmSync(dist, { recursive: true, force: true }); // else what was built from deleted sources stays
		run("building", process.execPath, [join(root, "scripts", "build.mjs")], quiet);
		writeFileSync(buildStamp, sources);
	}
}

/** Where npm put the command of a development dependency: a JavaScript file, to be run by this Node. */
export function bin(name) {
	return join(root, "node_modules", ".bin", name);
}

function checkNode() {
	const [major, minor] = process.versions.node.split(".").map(Number);
	if (major > MAJOR || (major === MAJOR && minor >= MINOR)) return;
	console.error(`qmtp needs Node ${MAJOR}.${MINOR} or newer; this is Node ${process.versions.node}.`);
	process.exit(1);
}

// npm writes its hidden lockfile last, so one that is there means an installation that ran to its end. Whether it is
// today's is told by our stamp; without one, as after an `npm ci` by hand, by comparing it with package-lock.json.
function dependenciesAreFresh() {
	const installed = read(hiddenLockFile);
	if (installed === null) return false;
	const wanted = readFileSync(lockFile, "utf8");
	return read(lockStamp) === hash(wanted) || isInstalled(JSON.parse(wanted), JSON.parse(installed));
}

function isInstalled(wanted, installed) {
	return Object.entries(wanted.packages).every(([path, entry]) => {
		if (path === "") return true; // the package itself
		const found = installed.packages[path];
		if (found === undefined) return entry.optional === true || entry.devOptional === true;
		return found.version === entry.version && found.integrity === entry.integrity;
	});
}

function hashOfSources() {
	const paths = ["package.json", "tsconfig.json", "tsconfig.build.json", join("scripts", "build.mjs")];
	for (const entry of readdirSync(join(root, "src"), { recursive: true, withFileTypes: true })) {
		if (entry.isFile()) paths.push(join(entry.parentPath, entry.name).slice(root.length + 1));
	}
	const list = paths.sort().map((path) => `${hash(readFileSync(join(root, path)))}  ${path}\n`);
	return hash(list.join(""));
}

function run(what, command, args, quiet) {
	if (!quiet) console.error(`qmtp: ${what} ...`);
	const result = spawnSync(command, args, {
		cwd: root,
		stdio: ["ignore", quiet ? "pipe" : 2, quiet ? "pipe" : 2],
	});
	if (result.status === 0) return;
	if (quiet) process.stderr.write(`${result.stdout ?? ""}${result.stderr ?? ""}`);
	console.error(
		`qmtp: ${what} failed: ${command} ${args.join(" ")}${result.error ? `: ${result.error.message}` : ""}`,
	);
	process.exit(result.status ?? 1);
}

function read(path) {
	return existsSync(path) ? readFileSync(path, "utf8") : null;
}

function hash(content) {
	return createHash("sha256").update(content).digest("hex");
}

const MAJOR = 20;
const MINOR = 19;
const dist = join(root, "dist");
const buildStamp = join(dist, ".stamp");
const lockFile = join(root, "package-lock.json");
const hiddenLockFile = join(root, "node_modules", ".package-lock.json");
const lockStamp = join(root, "node_modules", ".qmtp-lock");

if (process.argv[1] === fileURLToPath(import.meta.url)) setup();

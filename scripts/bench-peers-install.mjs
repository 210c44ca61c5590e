/**
 * `npm run bench:peers:install`: installs the programs of others that the benchmark `peers` runs beside ours, from Debian's
 * packages. It asks for no rights by itself: as another user than root it goes through sudo.
 *
 * Postfix is installed for its smtp-source alone: without a configuration, and so without a mail server that runs.
 */
import { spawnSync } from "node:child_process";
import { parseArgs } from "node:util";

const PACKAGES = ["mailfront", "ucspi-tcp", "postfix"];

const HELP = `Usage: npm run bench:peers:install -- [--simulate]

Installs ${PACKAGES.join(", ")} by apt-get, where they are missing.

  --simulate  only says what apt-get would do
  --help`;

const { simulate, help } = readArguments();
const missing = PACKAGES.filter((name) => !isInstalled(name));
if (help) {
	console.log(HELP);
} else if (missing.length === 0) {
	console.log(`installed already: ${PACKAGES.join(", ")}`);
} else {
	console.log(`to be installed: ${missing.join(", ")}`);
	const asRoot = process.getuid?.() === 0 || simulate ? [] : ["sudo"];
	if (missing.includes("postfix") && !simulate) {
		const answer = "postfix postfix/main_mailer_type select No configuration\n";
		run([...asRoot, "debconf-set-selections"], answer);
	}
	const aptGet = [
		"apt-get",
		"install",
		"--yes",
		"--no-install-recommends",
		...(simulate ? ["--simulate"] : []),
	];
	run([...asRoot, "env", "DEBIAN_FRONTEND=noninteractive", ...aptGet, ...missing]);
}

function readArguments() {
	try {
		const { values } = parseArgs({ options: { simulate: { type: "boolean" }, help: { type: "boolean" } } });
		return { simulate: values.simulate ?? false, help: values.help ?? false };
	} catch (error) {
		console.error(`bench:peers:install: ${error.message}; see npm run bench:peers:install -- --help`);
		process.exit(1);
	}
}

function isInstalled(name) {
	const { error, stdout } = spawnSync("dpkg", ["--status", name], { encoding: "utf8" });
	if (error) {
		console.error("bench:peers:install: this is no Debian, nor made from it: there is no dpkg");
		process.exit(1);
	}
	return /^Status: install ok installed$/m.test(stdout);
}

function run([command, ...args], input) {
	const stdin = input === undefined ? "inherit" : "pipe";
	const { error, status } = spawnSync(command, args, { input, stdio: [stdin, "inherit", "inherit"] });
	if (status === 0) return;
	console.error(`bench:peers:install: ${command} failed${error ? `: ${error.message}` : ""}`);
	process.exit(status ?? 1);
}

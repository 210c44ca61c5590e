/**
 * `npm start`: makes the checkout ready, says how to send a first message, and runs `qmtp serve`. Arguments go through:
 * `npm start -- --port 0`. It ends as the server ends, with the same exit code.
 */
import { spawn } from "node:child_process";
import { constants } from "node:os";
import { join } from "node:path";
import { root, setup } from "./setup.mjs";

setup();

const args = process.argv.slice(2);
console.error(`Send it a message from another terminal:
  printf 'Subject: hello\\n\\nhi\\n' | npx qmtp send --host 127.0.0.1 --port ${port()} --sender me@example.org --recipient you@example.com`);

const server = spawn(process.execPath, [join(root, "dist", "cli", "main.js"), "serve", ...args], {
	stdio: "inherit",
});
server.on("error", (error) => {
	console.error(`qmtp: cannot run the server: ${error.message}`);
	process.exit(1);
});
server.on("exit", (code, signal) => process.exit(code ?? 128 + constants.signals[signal]));

// The server ends softly at the first signal and hard at the second, so it must get no more than the one that was
// meant. npm forwards signals too, and hence this process may see one twice. On a terminal Ctrl-C goes to the whole
// process group, the server included: there is nothing to forward.
let forwarded = false;
for (const signal of ["SIGTERM", "SIGINT"]) {
	process.on(signal, () => {
		if (forwarded || (signal === "SIGINT" && process.stdin.isTTY)) return;
		forwarded = true;
		server.kill(signal);
	});
}

// The port of the hint. With `--port 0` the system chooses one, which the server names when it listens.
function port() {
	const at = args.findIndex((arg) => arg === "--port" || arg.startsWith("--port="));
	if (at === -1) return "2209";
	const value = args[at].split("=")[1] ?? args[at + 1];
	return value === "0" ? "<port>" : value;
}

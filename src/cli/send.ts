/** `qmtp send`: messages from files to a server. */
import { stat } from "node:fs/promises";
import { QmtpClient, type SendOptions } from "../client/client.js";
import type { Status } from "../protocol/response.js";
import {
	type Arguments,
	type Command,
	DONE,
	PERMANENT,
	SIGNALS,
	TEMPORARY,
	WrongUse,
	wholeNumber,
} from "./command.js";
import { printable } from "./printable.js";
import { Progress } from "./progress.js";
import { CLIENT_TLS_OPTIONS, clientTlsFiles, readTlsFiles } from "./tls-files.js";

export const send: Command = {
	name: "send",
	summary: "Sends each FILE, or standard input, as one message. All go over one connection.",
	operands: "[FILE ... | -]",
	options: {
		host: { value: "HOST", help: "the server", fallback: "127.0.0.1" },
		port: { value: "PORT", help: "its port", fallback: "209; 6209 with --tls" },
		...CLIENT_TLS_OPTIONS,
		"tls-cert": { value: "FILE", help: "the client's own certificate, for servers that ask for one" },
		"tls-key": { value: "FILE", help: "its private key; both in PEM" },
		sender: { value: "ADDRESS", required: true, help: "the envelope sender; '' for none" },
		recipient: { value: "ADDRESS", required: true, multiple: true, help: "an envelope recipient" },
	},
	notes: [
		"Prints STATUS<TAB>RECIPIENT<TAB>DESCRIPTION for each recipient of each message: K is accepted, Z try again,",
		"D never. Exits 0 if all are K, 100 if any is D, else 111.",
	],
	run: runSend,
};

async function runSend(args: Arguments): Promise<number> {
	const port = wholeNumber(args, "port", 1, 65535);
	const files = clientTlsFiles(args);
	const envelope = { sender: args.one("sender") ?? "", recipients: args.all("recipient") };
	const tls = files === null ? false : await readTlsFiles(files);
	const inputs = await checkedInputs(args.operands.length === 0 ? ["-"] : args.operands);
	const abort = new AbortController();
	const interrupt = () => abort.abort(new Error("interrupted"));
	for (const name of SIGNALS) process.once(name, interrupt);
	const host = args.one("host") ?? "127.0.0.1";
	const client = new QmtpClient({ host, tls, ...(port === undefined ? {} : { port }) });
	const progress = new Progress(
		process.stderr,
		inputs.reduce((sum, { size }) => sum + size, 0),
	);
	const results = new Results(progress);
	let sent = 0;
	const one = async ({ path }: Input): Promise<Line[]> => {
		let before = 0;
		const options: SendOptions = {
			...envelope,
			message: path === "-" ? process.stdin : { path },
			onProgress: (bytes) => {
				sent += bytes - before;
				before = bytes;
				progress.update(sent);
			},
		};
		try {
			return (await client.send(options, { signal: abort.signal })).responses.map(
				({ status, recipient, description }) => ({ status, recipient, description }),
			);
		} catch (error) {
			const description = (error as Error).message;
			return envelope.recipients.map((recipient) => ({ status: "Z", recipient, description }));
		}
	};
	await inOrder(inputs, one, (lines) => results.print(lines));
	progress.clear();
	await client.close();
	for (const name of SIGNALS) process.removeListener(name, interrupt);
	return results.exitCode;
}

/** The inputs, once it is known that all can be read: else nothing is sent. @throws WrongUse. */
async function checkedInputs(paths: readonly string[]): Promise<Input[]> {
	if (paths.filter((path) => path === "-").length > 1)
		throw new WrongUse("standard input can be sent only once");
	const inputs: Input[] = [];
	for (const path of paths) {
		if (path === "-") {
			inputs.push({ path, size: 0 });
			continue;
		}
		const stats = await stat(path).catch((error: Error) => {
			throw new WrongUse(`cannot read ${path}: ${error.message}`);
		});
		if (!stats.isFile()) throw new WrongUse(`cannot read ${path}: it is no regular file`);
		inputs.push({ path, size: stats.size });
	}
	return inputs;
}

/** Runs `work` on all inputs, several at once, and gives the results to `use` in the order of the inputs. */
async function inOrder<I, O>(
	inputs: readonly I[],
	work: (input: I) => Promise<O>,
	use: (output: O) => void,
): Promise<void> {
	const running: Promise<O>[] = [];
	for (const input of inputs) {
		running.push(work(input));
		if (running.length >= AT_ONCE) use(await (running.shift() as Promise<O>));
	}
	for (const output of running) use(await output);
}

/** What has become of the recipients, on standard output and as an exit code. */
class Results {
	exitCode: number = DONE;
	readonly #progress: Progress;

	constructor(progress: Progress) {
		this.#progress = progress;
	}

	print(lines: readonly Line[]): void {
		this.#progress.clear();
		for (const { status, recipient, description } of lines) {
			process.stdout.write(`${status}\t${printable(recipient)}\t${printable(description)}\n`);
			if (status === "D") this.exitCode = PERMANENT;
			if (status === "Z" && this.exitCode === DONE) this.exitCode = TEMPORARY;
		}
	}
}

interface Input {
	readonly path: string;
	/** In bytes; 0 for what is not known. */
	readonly size: number;
}

interface Line {
	readonly status: Status;
	readonly recipient: string;
	readonly description: string;
}

const AT_ONCE = 500; // each holds a descriptor

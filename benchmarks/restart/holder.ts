/**
 * A supervisor for servers that are restarted: it listens on a socket, never accepts, and hands the socket to each server
 * that it starts. It is a few lines of Perl, since Node cannot listen without accepting.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";

/** How a server gets the socket: as `--fd` says, or as systemd hands it over. */
export type HandOver = "fd" | "systemd";

/** A server that listens. */
export interface HeldServer {
	readonly pid: number;
	/** Ends it as an operator would. Resolves with its exit code; for one that a signal has ended it is 128 or more. */
	end(): Promise<number>;
}

/** The socket, and the servers on it. */
export class SocketHolder {
	readonly port: number;
	readonly #process: ChildProcess;
	readonly #output: Output;
	#starts = 0;

	private constructor(process: ChildProcess, output: Output, port: number) {
		this.#process = process;
		this.#output = output;
		this.port = port;
	}

	/** @param command - The program of a server and its arguments; `--fd N` is added. */
	static async open(command: readonly string[]): Promise<SocketHolder> {
		const child = spawn("perl", ["-e", HOLDER, ...command], { stdio: ["pipe", "pipe", "ignore"] });
		const output = new Output(child);
		const [, port] = await output.until(/^port (\d+)\n/m);
		return new SocketHolder(child, output, Number(port));
	}

	/** Starts a server. Resolves when it is ready. */
	async start(handOver: HandOver): Promise<HeldServer> {
		const count = ++this.#starts;
		this.#process.stdin?.write(`${handOver}\n`);
		const [, pid] = await this.#output.until(new RegExp(`^started ${count} (\\d+)\n`, "m"));
		const exited = this.#output.until(new RegExp(`^ended ${pid} (\\d+)\n`, "m"));
		exited.catch(() => {}); // whoever waits hears of it
		const ready = this.#output.until(new RegExp(`(?:^listening on .*\n[^]*){${count}}`, "m"));
		const early = exited.then(([, code]) => Promise.reject(new Error(`the server has ended with ${code}`)));
		early.catch(() => {});
		await Promise.race([ready, early]);
		return {
			pid: Number(pid),
			end: async () => {
				process.kill(Number(pid), "SIGTERM");
				const [, code] = await exited;
				return Number(code);
			},
		};
	}

	/** Ends all without waiting, when this process ends. */
	kill(): void {
		if (this.#process.exitCode === null) this.#process.stdin?.destroy();
	}

	/** Ends all. */
	async close(): Promise<void> {
		if (this.#process.exitCode !== null) return;
		const exit = once(this.#process, "exit");
		this.#process.stdin?.end();
		await exit;
	}
}

class Output {
	#text = "";
	readonly #watchers = new Set<() => void>();
	#ended = false;

	constructor({ stdout }: ChildProcess) {
		stdout?.setEncoding("utf8").on("data", (text: string) => {
			this.#text += text;
			for (const look of this.#watchers) look();
		});
		stdout?.on("end", () => {
			this.#ended = true;
			for (const look of this.#watchers) look();
		});
	}

	until(pattern: RegExp): Promise<RegExpExecArray> {
		return new Promise((resolve, reject) => {
			const look = () => {
				const match = pattern.exec(this.#text);
				if (match === null && !this.#ended) return;
				this.#watchers.delete(look);
				if (match === null) reject(new Error(`it ended without ${pattern}: ${this.#text}`));
				else resolve(match);
			};
			this.#watchers.add(look);
			look();
		});
	}
}

const HOLDER = `
use strict; use Socket; use POSIX qw(:sys_wait_h dup2);
$^F = 255; # descriptors up to this one stay open in programs that are started
$| = 1;
socket(my $socket, PF_INET, SOCK_STREAM, 0) or die "socket: $!";
bind($socket, sockaddr_in(0, INADDR_LOOPBACK)) or die "bind: $!";
listen($socket, 511) or die "listen: $!";
my ($port) = sockaddr_in(getsockname($socket));
my (%running, $starts);
$SIG{CHLD} = sub {
	while ((my $pid = waitpid(-1, WNOHANG)) > 0) {
		delete $running{$pid};
		print "ended $pid ", $? & 127 ? 128 + ($? & 127) : $? >> 8, "\\n";
	}
};
print "port $port\\n";
while (my $how = <STDIN>) {
	my $pid = fork;
	if ($pid == 0) {
		exec @ARGV, "--fd", fileno $socket if $how eq "fd\\n";
		dup2(fileno $socket, 3);
		($ENV{LISTEN_PID}, $ENV{LISTEN_FDS}) = ($$, 1);
		exec @ARGV;
	}
	$running{$pid} = 1;
	$starts++;
	print "started $starts $pid\\n";
}
kill "TERM", keys %running;
`;

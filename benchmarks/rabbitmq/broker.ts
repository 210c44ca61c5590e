/** RabbitMQ nodes of our own, for tests and benchmarks: started, killed, started again. */
import { type ChildProcess, execFile } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { BrokerHost, endProcess, freePort, PROGRAMS, startTied } from "./host.js";

/** How to start a node. */
export interface BrokerOptions {
	/** Lines of rabbitmq.conf besides those that keep it small and on the loopback interface. */
	readonly configuration?: readonly string[];
	/** Plugins that are on. Without any, there are none. */
	readonly plugins?: readonly string[];
}

/** Starts a node that is alone. It takes connections when this resolves. */
export async function startBroker(options: BrokerOptions = {}): Promise<Broker> {
	const host = await BrokerHost.open();
	try {
		const broker = await Broker.prepare(host, "a", () => host.close());
		await broker.start(options);
		return broker;
	} catch (error) {
		await host.close();
		throw error;
	}
}

/** One node, as its user "guest" with the password "guest" sees it. */
export class Broker {
	/** The node's name in a cluster, such as `a@localhost`. */
	readonly name: string;
	/** `amqp://guest:guest@127.0.0.1:PORT`. It stays the same when the node is started again. */
	readonly url: string;
	readonly port: number;
	readonly #host: BrokerHost;
	readonly #directory: string;
	readonly #environment: Readonly<Record<string, string>>;
	readonly #released: () => Promise<void>;
	#process: ChildProcess | null = null;
	#output = "";

	private constructor(
		host: BrokerHost,
		name: string,
		ports: { amqp: number; distribution: number },
		released: () => Promise<void>,
	) {
		this.name = `${name}@localhost`;
		this.port = ports.amqp;
		this.url = `amqp://guest:guest@127.0.0.1:${ports.amqp}`;
		this.#host = host;
		this.#released = released;
		this.#directory = join(host.directory, name);
		mkdirSync(this.#directory);
		const file = (name: string) => join(this.#directory, name);
		this.#environment = {
			...host.environment,
			RABBITMQ_NODENAME: this.name,
			RABBITMQ_NODE_PORT: String(ports.amqp),
			RABBITMQ_DIST_PORT: String(ports.distribution),
			RABBITMQ_MNESIA_BASE: file("mnesia"),
			RABBITMQ_LOG_BASE: file("log"),
			RABBITMQ_PID_FILE: file("pid"),
			RABBITMQ_ENABLED_PLUGINS_FILE: file("enabled_plugins"),
			RABBITMQ_CONFIG_FILE: file("rabbitmq.conf"),
			// One thread for Erlang's work: three nodes share the cores with the test.
			RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS: `${LOOPBACK} +S 1:1 +SDcpu 1:1 +SDio 2 +A 4 +stbt u`,
			RABBITMQ_CTL_ERL_ARGS: LOOPBACK,
			// Any port: a program that asks the node must be one of its network.
			RABBITMQ_CTL_DIST_PORT_MIN: "0",
			RABBITMQ_CTL_DIST_PORT_MAX: "0",
			RUNNING_UNDER_SYSTEMD: "true", // so the start script becomes the node, and no shell stands around it
		};
	}

	/**
	 * Makes the directory of a node that is not started yet.
	 *
	 * @param name - Short, unique on its host.
	 * @param released - Called by `stop`, when the node has ended.
	 */
	static async prepare(host: BrokerHost, name: string, released: () => Promise<void>): Promise<Broker> {
		const ports = { amqp: await freePort(), distribution: await freePort() };
		return new Broker(host, name, ports, released);
	}

	/** Whether its process is there. */
	get runs(): boolean {
		return this.#process !== null && this.#process.exitCode === null && this.#process.signalCode === null;
	}

	/** The process of the node itself. */
	get pid(): number {
		if (this.#process?.pid === undefined) throw new Error(`${this.name} does not run`);
		return this.#process.pid;
	}

	/** What the node has written lately, to see why it did not start. */
	get output(): string {
		return this.#output;
	}

	/** Starts the node, for the first time or again, with the options of the last time if none are given. It takes connections when this resolves. */
	async start(options?: BrokerOptions): Promise<void> {
		if (options !== undefined || this.#process === null) this.#configure(options ?? {});
		this.#output = "";
		const child = startTied(join(PROGRAMS, "rabbitmq-server"), [], {
			cwd: this.#directory, // for a dump of a crash
			env: this.#environment,
			stdio: "pipe",
		});
		this.#process = child;
		await new Promise<void>((resolve, reject) => {
			for (const stream of [child.stdout, child.stderr]) {
				stream?.setEncoding("utf8").on("data", (text: string) => {
					this.#output = (this.#output + text).slice(-KEPT_OUTPUT);
					if (/completed with \d+ plugins/.test(this.#output)) resolve();
				});
			}
			child.once("error", reject);
			child.once("close", () => reject(new Error(`${this.name} ended before it was ready: ${this.#output}`)));
		});
	}

	/** Ends the node by a signal, and resolves when it has ended. Its mail and its ports stay for the next start. */
	async kill(signal: NodeJS.Signals = "SIGKILL"): Promise<void> {
		if (this.#process !== null) await endProcess(this.#process, signal);
	}

	/** Runs rabbitmqctl for the node. @returns What it has written to standard output. */
	async ctl(args: readonly string[]): Promise<string> {
		const { stdout } = await run(join(PROGRAMS, "rabbitmqctl"), ["-q", ...args], {
			env: this.#environment,
			cwd: this.#host.directory,
			timeout: 60_000,
		});
		return stdout;
	}

	/** Ends the node for good, and removes what it has stored. */
	async stop(): Promise<void> {
		await this.kill();
		await this.#released();
	}

	#configure({ configuration = [], plugins = [] }: BrokerOptions): void {
		const lines = [
			`listeners.tcp.1 = 127.0.0.1:${this.port}`,
			"vm_memory_high_watermark.absolute = 512MiB",
			"disk_free_limit.absolute = 50MB",
			"num_acceptors.tcp = 2",
			"raft.wal_max_size_bytes = 64000000",
			"log.file.level = info",
			...configuration,
		];
		writeFileSync(join(this.#directory, "rabbitmq.conf"), lines.map((line) => `${line}\n`).join(""));
		writeFileSync(join(this.#directory, "enabled_plugins"), `[${plugins.join(",")}].\n`);
	}
}

const run = promisify(execFile);
const LOOPBACK = "-kernel inet_dist_use_interface {127,0,0,1}";
const KEPT_OUTPUT = 65_536;

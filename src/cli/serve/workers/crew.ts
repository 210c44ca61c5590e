/** The workers, as their primary sees them: it starts them, and others in place of those that crash. */
import cluster, { type Worker } from "node:cluster";
import { ConnectionLimit } from "../../../server/connection-limit.js";
import type { TlsFileContents } from "../../tls-files.js";
import type { DoorAddresses } from "../service.js";
import type { ServeSettings } from "../settings.js";
import { DOORS, type DoorTargets } from "../sockets.js";
import type { PrimaryMessage, WorkerMessage } from "./messages.js";
import { WorkerPlaces } from "./places.js";

/** All workers of a primary. */
export class Crew {
	/** The places of all of them. */
	readonly limit: ConnectionLimit;
	/** Resolves when it was closed, and all have ended. Rejects when it has given up. */
	readonly ended: Promise<void>;
	readonly #settings: ServeSettings;
	readonly #members = new Map<number, Member>();
	readonly #restarts = new Set<NodeJS.Timeout>();
	#tls: TlsFileContents | null;
	#addresses: DoorAddresses | null = null;
	#started: (outcome: DoorAddresses | Error) => void = () => {};
	#settleEnded: (failure: Error | null) => void = () => {};
	#isOpen = false;
	#isClosing = false;
	#failure: Error | null = null;
	#questions = 0;
	#crashes: number[] = []; // when they were

	/** @param tls - Null without TLS. */
	constructor(settings: ServeSettings, tls: TlsFileContents | null) {
		this.#settings = settings;
		this.limit = new ConnectionLimit(settings.connections);
		this.#tls = tls;
		this.ended = new Promise((resolve, reject) => {
			this.#settleEnded = (failure) => (failure === null ? resolve() : reject(failure));
		});
		this.ended.catch(() => {}); // whoever waits hears of it
	}

	/** Starts them. Resolves when all listen. @throws An Error that says why one cannot. */
	async start(): Promise<DoorAddresses> {
		// Each worker in turn gets a connection; where they accept for themselves, some get most of them.
		cluster.schedulingPolicy = cluster.SCHED_RR;
		const started = new Promise<DoorAddresses | Error>((resolve) => {
			this.#started = resolve;
		});
		for (let count = 0; count < this.#settings.workers; count++) this.#fork();
		const outcome = await started;
		if (outcome instanceof Error) throw outcome;
		return outcome;
	}

	/** Lets the clients in. */
	open(): void {
		this.#isOpen = true;
		this.#sendAll({ type: "open" });
	}

	/** New certificates, for these workers and for those to come. */
	updateCertificates(tls: TlsFileContents): void {
		this.#tls = tls;
		this.#sendAll({ type: "certificates", tls });
	}

	/** What prom-client makes of each worker's registry. @throws An Error if one does not tell. */
	async metrics(): Promise<readonly (readonly object[])[]> {
		const ready = [...this.#members.values()].filter(({ isReady }) => isReady);
		return Promise.all(ready.map((member) => this.#metricsOf(member)));
	}

	#metricsOf({ worker, asked }: Member): Promise<readonly object[]> {
		return new Promise((resolve, reject) => {
			const number = ++this.#questions;
			const late = setTimeout(() => {
				asked.delete(number);
				reject(new Error(`worker ${worker.id} (process ${worker.process.pid}) does not tell its metrics`));
			}, METRICS_TIMEOUT);
			late.unref();
			asked.set(number, (metrics) => {
				asked.delete(number);
				clearTimeout(late);
				resolve(metrics);
			});
			send(worker, { type: "metrics", number });
		});
	}

	/** Ends them when what is under way is answered. */
	close(): void {
		this.#isClosing = true;
		for (const timer of this.#restarts) clearTimeout(timer);
		this.#sendAll({ type: "close" });
		this.#checkEnd();
	}

	/** Ends them now. */
	destroy(): void {
		this.#isClosing = true;
		this.#sendAll({ type: "destroy" });
		const kill = () => {
			for (const { worker } of this.#members.values()) worker.process.kill("SIGKILL");
		};
		setTimeout(kill, PATIENCE).unref();
	}

	#fork(): void {
		const worker = cluster.fork();
		const places = new WorkerPlaces(this.limit, (message) => send(worker, message));
		const member: Member = { worker, places, isReady: false, failure: null, asked: new Map() };
		this.#members.set(worker.id, member);
		worker.on("error", () => {}); // its channel broke: its end tells the same
		worker.on("message", (message: WorkerMessage) => this.#receive(member, message));
		worker.on("exit", (code, signal) => this.#exited(member, howEnded(code, signal)));
	}

	#receive(member: Member, message: WorkerMessage): void {
		const { worker, places, asked } = member;
		if (message.type === "hello") {
			send(worker, { type: "start", targets: this.#targets(), tls: this.#tls });
			if (this.#isClosing) send(worker, { type: "close" });
		} else if (message.type === "ready") this.#ready(member, message.addresses);
		else if (message.type === "metrics") asked.get(message.number)?.(message.metrics);
		else if (message.type === "failed") member.failure = message.message;
		else places.receive(message);
	}

	#ready(member: Member, addresses: DoorAddresses): void {
		member.isReady = true;
		this.#addresses ??= addresses;
		if (this.#isOpen) send(member.worker, { type: "open" });
		const ready = [...this.#members.values()].filter(({ isReady }) => isReady).length;
		if (ready === this.#settings.workers) this.#started(this.#addresses);
	}

	#exited(member: Member, how: string): void {
		this.#members.delete(member.worker.id);
		member.places.release();
		for (const told of [...member.asked.values()]) told([]);
		if (this.#isClosing) {
			this.#checkEnd();
		} else if (this.#isOpen) {
			this.#replace(member, member.failure === null ? how : `could not serve: ${member.failure}`);
		} else {
			const error = new Error(member.failure ?? `a worker ${how} before it was ready`);
			this.#giveUp(error);
			this.#started(error);
		}
	}

	#replace({ worker }: Member, how: string): void {
		const { workers, log } = this.#settings;
		const now = performance.now();
		this.#crashes = [...this.#crashes.filter((time) => now - time < CRASH_WINDOW), now];
		const count = this.#crashes.length;
		if (count > 2 * workers + MORE_CRASHES) {
			this.#giveUp(new Error(`${count} workers have ended within a minute; the last one ${how}`));
			return;
		}
		// Node closes a socket with the last worker that uses it. A port can be had again, and a descriptor cannot.
		if (!this.#isListening && (this.#hasDescriptors || this.#hasRootsPorts)) {
			this.#giveUp(new Error(`no worker is left to hold the sockets; the last one ${how}`));
			return;
		}
		const more = count - workers; // as many as there are may have crashed for one reason, and are needed now
		const delay = more <= 0 ? 0 : Math.min(LEAST_DELAY * 2 ** (more - 1), MOST_DELAY);
		log.warning(`worker ${worker.id} (process ${worker.process.pid}) ${how}; another takes its place`);
		const timer = setTimeout(() => {
			this.#restarts.delete(timer);
			this.#fork();
		}, delay);
		this.#restarts.add(timer);
	}

	#giveUp(error: Error): void {
		this.#failure ??= error;
		this.close();
	}

	#checkEnd(): void {
		if (this.#members.size === 0) this.#settleEnded(this.#failure);
	}

	/** Where a worker listens that starts now: at the ports that are in use, if none holds them any more. */
	#targets(): DoorTargets {
		const { targets } = this.#settings;
		const addresses = this.#addresses;
		if (addresses === null || this.#isListening) return targets;
		const of = (door: keyof DoorTargets) =>
			targets[door].map((target, index) => {
				const address = addresses[door][index];
				return typeof address === "object" ? { ...target, port: address.port } : target;
			});
		return { qmtp: of("qmtp"), qmtps: of("qmtps"), smtp: of("smtp") };
	}

	get #isListening(): boolean {
		return [...this.#members.values()].some(({ isReady }) => isReady);
	}

	get #hasDescriptors(): boolean {
		return DOORS.some((door) => this.#settings.targets[door].some(({ fd }) => fd !== undefined));
	}

	/** Ports that this process cannot have again, since it is not root any more. */
	get #hasRootsPorts(): boolean {
		const addresses = Object.values(this.#addresses ?? {}).flat();
		const ports = addresses.map((address) => (typeof address === "object" ? address.port : ROOTS_PORTS));
		return this.#settings.changesUser && ports.some((port) => port < ROOTS_PORTS);
	}

	#sendAll(message: PrimaryMessage): void {
		for (const { worker } of this.#members.values()) send(worker, message);
	}
}

interface Member {
	readonly worker: Worker;
	readonly places: WorkerPlaces;
	/** It listens. */
	isReady: boolean;
	/** Questions for its metrics. */
	readonly asked: Map<number, (metrics: readonly object[]) => void>;
	/** Why it cannot serve, as it says. */
	failure: string | null;
}

function send(worker: Worker, message: PrimaryMessage): void {
	if (worker.isConnected()) worker.send(message, undefined, () => {}); // it may be gone just now
}

function howEnded(code: number, signal: string | null): string {
	return signal === null ? `has ended with exit code ${code}` : `was ended by ${signal}`;
}

const ROOTS_PORTS = 1024;
const CRASH_WINDOW = 60_000;
const MORE_CRASHES = 6;
const LEAST_DELAY = 100;
const MOST_DELAY = 1000;
const METRICS_TIMEOUT = 5000;
const PATIENCE = 1000;

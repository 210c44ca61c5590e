/** One of the processes that serve. It does what its primary says, and finishes when that is gone. */
import cluster, { type Worker } from "node:cluster";
import { DONE, SIGNALS, TEMPORARY } from "../../command.js";
import { metricsOf, type ProcessMetrics } from "../metrics-door.js";
import { Service } from "../service.js";
import type { ServeSettings } from "../settings.js";
import type { PrimaryMessage, WorkerMessage } from "./messages.js";
import { SharedLimit } from "./shared-limit.js";

/** Serves until the primary ends it. It ends the process, and so never resolves. */
export async function serveAsWorker(settings: ServeSettings): Promise<never> {
	// A terminal sends them to all processes of a group, and systemd too: the primary says what they mean.
	for (const name of [...SIGNALS, "SIGHUP"]) process.on(name, () => {});
	const worker = new ServingWorker(settings, cluster.worker as Worker);
	worker.follow();
	return new Promise(() => {});
}

class ServingWorker {
	readonly #settings: ServeSettings;
	readonly #worker: Worker;
	readonly #limit = new SharedLimit((message) => this.#send(message));
	#service: Service | null = null;
	#metrics: ProcessMetrics | null = null;
	#isEnding = false;

	constructor(settings: ServeSettings, worker: Worker) {
		this.#settings = settings;
		this.#worker = worker;
	}

	follow(): void {
		process.on("message", (message: PrimaryMessage) => this.#receive(message));
		this.#worker.on("disconnect", () => {
			this.#worker.exitedAfterDisconnect = true; // else Node ends the process here and now
			this.#limit.disconnect();
			if (this.#isEnding) return;
			this.#settings.log.closing("the primary process is gone", this.#service?.doors.connections ?? 0);
			this.#end();
		});
		this.#send({ type: "hello" });
	}

	#receive(message: PrimaryMessage): void {
		const { log } = this.#settings;
		if (message.type === "entered" || message.type === "claimed") this.#limit.receive(message);
		else if (message.type === "start") this.#start(message).catch((error: Error) => this.#fail(error));
		else if (message.type === "open") this.#service?.open();
		else if (message.type === "certificates") this.#service?.updateCertificates(message.tls);
		else if (message.type === "metrics")
			this.#tellMetrics(message.number).catch((error: Error) => log.fault(error, {}));
		else if (message.type === "close") this.#end();
		else if (message.type === "destroy") {
			this.#service?.destroy();
			process.exit(DONE); // nobody waits for what the queue still does
		}
	}

	async #start({ targets, tls }: PrimaryMessage & { readonly type: "start" }): Promise<void> {
		const { connections, workers, metrics } = this.#settings;
		const service = await Service.make(this.#settings, {
			limit: this.#limit,
			tls,
			smtpConnections: Math.ceil(connections.connections / workers),
		});
		this.#service = service;
		this.#metrics = metrics === null ? null : await metricsOf(service.servers);
		const addresses = await service.listen(targets);
		this.#send({ type: "ready", addresses });
	}

	async #tellMetrics(number: number): Promise<void> {
		const metrics = (await this.#metrics?.getMetricsAsJSON()) ?? [];
		this.#send({ type: "metrics", number, metrics });
	}

	#fail(error: Error): void {
		this.#service?.destroy();
		const exit = () => process.exit(TEMPORARY);
		if (!process.connected) exit();
		process.send?.({ type: "failed", message: error.message } satisfies WorkerMessage, exit);
	}

	#end(): void {
		if (this.#isEnding) return;
		this.#isEnding = true;
		this.#finish().then(
			() => process.exit(DONE),
			(error: Error) => {
				this.#settings.log.fault(error, {});
				process.exit(TEMPORARY);
			},
		);
	}

	async #finish(): Promise<void> {
		await this.#service?.doors.close();
		await this.#service?.closeQueue();
	}

	#send(message: WorkerMessage): void {
		if (process.connected) process.send?.(message, undefined, undefined, () => {}); // it may be gone just now
	}
}

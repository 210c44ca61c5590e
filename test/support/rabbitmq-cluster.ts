/** Three RabbitMQ nodes that are one cluster, and which of them leads a queue. */
import { Broker } from "../../benchmarks/rabbitmq/broker.js";
import { BrokerHost } from "../../benchmarks/rabbitmq/host.js";

/** The cluster. */
export interface Cluster {
	readonly nodes: readonly [Broker, Broker, Broker];
	/** The URL of each node. */
	readonly urls: readonly string[];
	/** One URL with all three: `amqp://guest:guest@127.0.0.1:PORT,127.0.0.1:PORT,127.0.0.1:PORT`. */
	readonly url: string;
	/** What a quorum queue says of itself, asked at a node that runs. */
	state(queue: string): Promise<QueueState>;
	/** Ends all nodes, and removes what they have stored. */
	stop(): Promise<void>;
}

/** Who has a quorum queue. */
export interface QueueState {
	/** The node that leads it; undefined while there is none. */
	readonly leader: Broker | undefined;
	/** The nodes that have it, and run. */
	readonly online: readonly Broker[];
	/** Messages, those that are with consumers as well, as of the last five seconds. */
	readonly messages: number;
}

/** Starts three nodes. All are members of the cluster when this resolves. */
export async function startCluster(): Promise<Cluster> {
	const host = await BrokerHost.open();
	const nodes: Broker[] = [];
	const stop = async () => {
		await Promise.all(nodes.map((node) => node.kill()));
		await host.close();
	};
	try {
		for (const name of ["a", "b", "c"]) nodes.push(await Broker.prepare(host, name, async () => {}));
		const configuration = [
			"cluster_formation.peer_discovery_backend = classic_config",
			...nodes.map(({ name }, index) => `cluster_formation.classic_config.nodes.${index + 1} = ${name}`),
			"cluster_formation.randomized_startup_delay_range.min = 0",
			"cluster_formation.randomized_startup_delay_range.max = 1",
			"cluster_partition_handling = pause_minority", // as docs/scaling.md has it
		];
		await Promise.all(nodes.map((node) => node.start({ configuration })));
		await nodes[0]?.ctl(["await_online_nodes", "3", "--timeout", "50"]);
	} catch (error) {
		await stop();
		throw error;
	}
	return {
		nodes: nodes as [Broker, Broker, Broker],
		urls: nodes.map(({ url }) => url),
		url: `amqp://guest:guest@${nodes.map(({ port }) => `127.0.0.1:${port}`).join(",")}`,
		state: (queue) => stateOf(nodes, queue),
		stop,
	};
}

async function stateOf(nodes: readonly Broker[], queue: string): Promise<QueueState> {
	const asked = nodes.find(({ runs }) => runs);
	if (asked === undefined) throw new Error("no node runs");
	const columns = ["name", "leader", "online", "messages"];
	const rows = JSON.parse(await asked.ctl(["list_queues", "--formatter", "json", ...columns])) as Row[];
	const row = rows.find(({ name }) => name === queue);
	if (row === undefined) throw new Error(`there is no queue ${queue}`);
	return {
		leader: nodes.find(({ name }) => name === row.leader),
		online: nodes.filter(({ name }) => row.online.includes(name)),
		messages: row.messages,
	};
}

interface Row {
	readonly name: string;
	readonly leader: string;
	readonly online: readonly string[];
	readonly messages: number;
}

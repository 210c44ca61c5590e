/** RabbitMQ for tests: a node of their own, or three. Where none is installed a test is skipped; in CI it fails. */
import { test } from "vitest";
import { rabbitmqInstalled } from "../../benchmarks/rabbitmq/host.js";
import { describeWithPrograms } from "./peers.js";

export { type Broker, type BrokerOptions, startBroker } from "../../benchmarks/rabbitmq/broker.js";
export { type Cluster, startCluster } from "./rabbitmq-cluster.js";
export { rabbitmqInstalled };

/** Runs `suite` if RabbitMQ is here. It starts its nodes in `beforeAll`, and stops them in `afterAll`. */
export function describeWithRabbitmq(name: string, suite: () => void): void {
	if (rabbitmqInstalled()) {
		describeWithPrograms(name, { epmd: "erlang-base", setpriv: "util-linux" }, suite);
		return;
	}
	test(name, (context) => {
		const note = "not installed here: rabbitmq-server (Debian package rabbitmq-server)";
		const { CI } = process.env;
		if (CI === "true") throw new Error(note);
		context.skip(note);
	});
}

/** `qmtp rabbitmq`: the queues that mail goes through in RabbitMQ. */
import { QueueError } from "../errors.js";
import type { RabbitmqTopologyQueue } from "../queue/rabbitmq.js";
import { BROKER_SYNTAX, type BrokerUrl, brokerUrl, LARGEST_DELIVERY_LIMIT } from "./broker-url.js";
import {
	type Arguments,
	type Command,
	DONE,
	PERMANENT,
	TEMPORARY,
	WrongUse,
	wholeNumber,
} from "./command.js";
import { printable, printableJson } from "./printable.js";

export const rabbitmq: Command = {
	name: "rabbitmq",
	summary: "Declares the queues that mail goes through in RabbitMQ.",
	operands: "declare",
	options: {
		url: { value: "URL", required: true, help: `as in serve --queue: ${BROKER_SYNTAX}?queue=NAME` },
		"delivery-limit": {
			value: "N",
			help: "how often a message is handed out again that nobody has settled, before it is parked",
			fallback: "20",
		},
		"dry-run": { help: "print what would be declared, as JSON, and connect to nothing" },
	},
	notes: [
		"serve and relay declare the queues themselves: this is for those who want to see them first, or to declare them as a",
		"user who may. A user without a password in the URL has that of the environment variable QMTP_AMQP_PASSWORD. Queues",
		"that exist with the same arguments are left as they are. Exits 100 if one exists with others, 111 if the broker cannot",
		"be reached or the package amqplib is missing.",
	],
	run: runRabbitmq,
};

async function runRabbitmq(args: Arguments): Promise<number> {
	const [task, ...more] = args.operands;
	if (task === undefined) throw new WrongUse("say what to do: declare");
	// What is said of the rest is nothing of it: it may be a URL.
	if (task !== "declare") throw new WrongUse("there is nothing but declare");
	if (more.length > 0) throw new WrongUse("declare takes no arguments");
	const dryRun = args.all("dry-run").length > 0;
	const broker = await brokerUrl(args.one("url") as string, "url", { connects: !dryRun });
	const deliveryLimit = wholeNumber(args, "delivery-limit", 1, LARGEST_DELIVERY_LIMIT);
	const { queue, deliveryLimit: limitOfUrl } = broker.options;
	if (deliveryLimit !== undefined && limitOfUrl !== undefined)
		throw new WrongUse("--delivery-limit is in the URL as well");
	const limit = deliveryLimit ?? limitOfUrl;
	const wanted = {
		...(queue === undefined ? {} : { queue }),
		...(limit === undefined ? {} : { deliveryLimit: limit }),
	};
	const { rabbitmqTopology } = await import("../queue/rabbitmq.js");
	const queues = rabbitmqTopology(wanted);
	if (dryRun) {
		process.stdout.write(`${JSON.stringify({ queues }, null, 2)}\n`);
		return DONE;
	}
	return await declare(broker, wanted, queues);
}

async function declare(
	{ options }: BrokerUrl,
	wanted: { readonly queue?: string; readonly deliveryLimit?: number },
	queues: readonly RabbitmqTopologyQueue[],
): Promise<number> {
	const { declareRabbitmqTopology } = await import("../queue/rabbitmq.js");
	try {
		await declareRabbitmqTopology({ ...options, ...wanted });
	} catch (error) {
		// Its own text is for clients; who runs this is to see where it failed.
		const told = error instanceof QueueError ? (error.cause ?? error) : error;
		process.stderr.write(`qmtp rabbitmq: ${printable((told as Error).message)}\n`);
		return error instanceof QueueError && error.permanent ? PERMANENT : TEMPORARY;
	}
	for (const queue of queues) {
		const values = Object.entries(queue.arguments).map(([key, value]) => ` ${key}=${printableJson(value)}`);
		process.stdout.write(`declared ${queue.name}${values.join("")}\n`);
	}
	return DONE;
}

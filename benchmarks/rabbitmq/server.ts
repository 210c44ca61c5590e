/** The server of the RabbitMQ benchmark. Arguments: the URL of the broker, and the queue. */
import { acceptAnyone, QmtpServer } from "qmtp";
import { rabbitmqQueue } from "qmtp/queue/rabbitmq";
import { answerParent } from "../child.js";

const [url = "", name = ""] = process.argv.slice(2);
const queue = rabbitmqQueue({ url, queue: name });
await queue.prepare();
// Without a Received field the broker gets the same bytes as from the bare publisher.
const server = new QmtpServer({ queue, received: false, hooks: { recipient: acceptAnyone } });
const { port } = (await server.listen({ port: 0, host: "127.0.0.1" })) as { port: number };
answerParent({ port: () => port });

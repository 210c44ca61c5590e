/** A server over RabbitMQ, from dist, until it is killed. Arguments: the URL of the broker, and the queue. */
import { acceptAnyone, QmtpServer } from "../../dist/index.js";
import { rabbitmqQueue } from "../../dist/queue/rabbitmq.js";

const [url, name] = process.argv.slice(2);
const queue = rabbitmqQueue({ url, queue: name });
await queue.prepare();
const server = new QmtpServer({ queue, hooks: { recipient: acceptAnyone } });
const { port } = await server.listen({ host: "127.0.0.1", port: 0 });
console.log(`listening on ${port}`);

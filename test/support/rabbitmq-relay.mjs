/**
 * A relay out of RabbitMQ, from dist, until it is killed. Arguments: the URL of the broker, the queue, the next hop, and how
 * many messages it has under way at most. It says what it has settled, a line for each message.
 */
import { rabbitmqQueue } from "../../dist/queue/rabbitmq.js";
import { Relay } from "../../dist/relay/relay.js";

const [url, name, to, messages] = process.argv.slice(2);
const source = rabbitmqQueue({ url, queue: name });
await source.prepare();
const relay = new Relay({ source, to, limits: { messages: Number(messages) } });
relay.on("delivered", ({ id }) => console.log(`settled ${id}`));
await relay.start();

/** A server without TLS for tests of clients that speak it. */
import { createServer, type Socket } from "node:net";
import { onTestFinished } from "vitest";

/** Its port. Each connection does what the script says; all of it is gone when the test is over. */
export async function plainServer(script: (socket: Socket) => void): Promise<number> {
	const server = createServer({ allowHalfOpen: true }, (socket) => {
		socket.on("error", () => {});
		script(socket);
		onTestFinished(() => void socket.destroy());
	});
	await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
	onTestFinished(() => void server.close());
	return (server.address() as { port: number }).port;
}

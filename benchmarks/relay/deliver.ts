/** What the relays of the benchmarks do: they deliver all that a source has to a QMTP server, which takes everything. */
import { Relay, type Source } from "qmtp/relay";

/** How long a new relay takes until so many recipients are delivered to, and settled, in seconds. */
export async function secondsToDeliver(
	source: Source,
	{ port, recipients }: { readonly port: string; readonly recipients: number },
): Promise<number> {
	const relay = new Relay({ source, to: `qmtp://127.0.0.1:${port}` });
	const started = performance.now();
	await new Promise<void>((resolve, reject) => {
		let left = recipients;
		relay.on("delivered", () => {
			if (--left === 0) resolve();
		});
		relay.on("deferred", (report) => reject(new Error(report.recipients[0]?.description)));
		relay.start().catch(reject);
	});
	const time = (performance.now() - started) / 1000;
	await relay.close();
	return time;
}

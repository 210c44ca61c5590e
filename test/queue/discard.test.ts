import { discardQueue } from "../../src/queue/discard.js";
import { queueContract } from "../support/queue-contract.js";

queueContract(
	"discardQueue",
	async () => ({
		queue: discardQueue(),
		stored: async () => [],
		leftOvers: async () => [],
		dispose: async () => {},
	}),
	{ keeps: false },
);

/**
 * A process of clients. Its arguments are the kind of clients and a turn; it sends its tally to its parent when the
 * turn is over, or the parent says `end`.
 */
import { politeClients } from "./polite.js";
import { roughClients } from "./rough.js";
import { Turn, type TurnOptions } from "./turn.js";

const [kind, options = ""] = process.argv.slice(2);
const turn = new Turn(JSON.parse(options) as TurnOptions);
process.on("message", () => turn.end());
process.on("disconnect", () => process.exit());
for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => {}); // the parent says when
const clients = kind === "polite" ? [1, 2, 3, 4].map(() => politeClients(turn)) : [roughClients(turn)];
await Promise.all(clients);
process.send?.(turn.tally, () => process.disconnect());

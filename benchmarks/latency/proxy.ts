/** A link as a process of its own, so that its clock does not wait for the client's work. Arguments: port, round trip in ms. */
import { answerParent } from "../child.js";
import { Link } from "./link.js";

const [port, roundTripMs] = process.argv.slice(2).map(Number) as [number, number];
const link = await Link.open(port, roundTripMs);
answerParent({ port: () => link.port, roundTrips: () => link.takeRoundTrips() });

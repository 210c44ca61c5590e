/** All surfaces. */
import type { Surface } from "./surface.js";
import { files, hosts, routes } from "./surfaces/control.js";
import { cdb } from "./surfaces/databases.js";
import { lineDecoder, received } from "./surfaces/messages.js";
import * as netstrings from "./surfaces/netstrings.js";
import * as packages from "./surfaces/packages.js";
import { proxy } from "./surfaces/proxy.js";
import * as responses from "./surfaces/responses.js";
import { text } from "./surfaces/rules.js";
import { session } from "./surfaces/session.js";

/** In the order in which they are tried. */
export const SURFACES: readonly Surface[] = [
	netstrings.decoder,
	netstrings.decoderStream,
	netstrings.reader,
	packages.decoder,
	packages.connection,
	session,
	proxy,
	responses.decoder,
	responses.connection,
	lineDecoder,
	received,
	text,
	cdb,
	files,
	hosts,
	routes,
];

/** What the processes of `qmtp serve --workers` say to each other. */
import type { NoPlace } from "../../../server/connection-limit.js";
import type { TlsFileContents } from "../../tls-files.js";
import type { DoorAddresses } from "../service.js";
import type { DoorTargets } from "../sockets.js";

/** From a worker to the primary about places for connections; `number` is the worker's own for the connection. */
export type PlaceRequest =
	| { readonly type: "enter"; readonly number: number; readonly address: string }
	| { readonly type: "claim"; readonly number: number; readonly address: string }
	/** It has left, or does not wait any more. */
	| { readonly type: "leave"; readonly number: number };

/** And back. */
export type PlaceAnswer =
	| { readonly type: "entered"; readonly number: number; readonly refusal: NoPlace | null }
	| { readonly type: "claimed"; readonly number: number; readonly isAllowed: boolean };

/** From a worker to the primary. */
export type WorkerMessage =
	| PlaceRequest
	/** It listens to messages now. */
	| { readonly type: "hello" }
	/** It listens at its doors, and waits for `open`. */
	| { readonly type: "ready"; readonly addresses: DoorAddresses }
	/** What prom-client makes of its registry, as JSON. */
	| { readonly type: "metrics"; readonly number: number; readonly metrics: readonly object[] }
	/** It cannot serve, and ends. */
	| { readonly type: "failed"; readonly message: string };

/** From the primary to a worker. */
export type PrimaryMessage =
	| PlaceAnswer
	| { readonly type: "start"; readonly targets: DoorTargets; readonly tls: TlsFileContents | null }
	/** Clients may come in. */
	| { readonly type: "open" }
	| { readonly type: "certificates"; readonly tls: TlsFileContents }
	/** Asks for `metrics`. */
	| { readonly type: "metrics"; readonly number: number }
	/** To end when all is answered. */
	| { readonly type: "close" }
	/** To end at once. */
	| { readonly type: "destroy" };

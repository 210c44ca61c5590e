/** Where mail goes: through a client, which is one connection, or through a router. */
import { QmtpClient } from "../../client/client.js";
import type { ClientOptions } from "../../client/options.js";
import type { QmtpDeliveryResponse } from "./outcome.js";

/** A mail, as a {@link QmtpDeliverer} gets it. */
export interface QmtpMail {
	/** The envelope sender; empty for mail that must not be answered. */
	readonly sender: string;
	/** The envelope recipients, at least one. */
	readonly recipients: readonly string[];
	/** The message. It is read once, or destroyed. */
	readonly message: AsyncIterable<Uint8Array>;
	/** Its lines end with CR LF, and with LF alone where nodemailer was given a text that has them so. */
	readonly encoding: "crlf";
}

/** What delivers mail to wherever its recipients are, such as a router that asks the DNS. */
export interface QmtpDeliverer {
	/**
	 * Delivers a mail.
	 *
	 * @param call - `signal` gives the mail up: the call is to reject with its reason.
	 */
	deliver(mail: QmtpMail, call: { readonly signal: AbortSignal }): Promise<QmtpDelivery>;
}

/** What became of a {@link QmtpMail}. */
export interface QmtpDelivery {
	/** One for each recipient, in their order. */
	readonly responses: readonly QmtpDeliveryResponse[];
}

/** One way out. */
export interface Outlet extends QmtpDeliverer {
	/** Ends it when the mail under way has its responses. */
	close(): Promise<void>;
	/** Ends it now; mail under way gets Z. */
	destroy(): void;
}

/** A connection. */
export function clientOutlet(options: ClientOptions): Outlet {
	const client = new QmtpClient(options);
	return {
		deliver: (mail, call) => client.send(mail, call),
		close: () => client.close(),
		destroy: () => client.destroy(),
	};
}

/** A router. Whoever made it closes it. */
export function routerOutlet(router: QmtpDeliverer): Outlet {
	return { deliver: (mail, call) => router.deliver(mail, call), close: async () => {}, destroy: () => {} };
}

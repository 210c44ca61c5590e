/**
 * One client of an SMTP door: who it is, what it may do, and the message that it is sending. smtp-server speaks with it
 * and calls a step at a time; each step resolves with what is to be answered, and never rejects.
 */
import type { MessageInfo } from "../../protocol/message-info.js";
import type { AccessRights, Peer } from "../../protocol/peer.js";
import { type QmtpResponse, rejected } from "../../protocol/response.js";
import { asError } from "../../server/intake.js";
import { newMessageId } from "../../server/message-id.js";
import { type Greeting, ReceivedField } from "../../server/received.js";
import { NOT_AUTHORIZED } from "../../server/refusals.js";
import type { FaultContext, PackageReport } from "../../server/reports.js";
import { NO_RIGHTS, rightsOf } from "../../server/rights.js";
import type { SmtpDoorSettings } from "./settings.js";
import { SmtpTransaction } from "./transaction.js";

/** What smtp-server knows of a client: the part of its `SMTPServerSession` that is used here. */
export interface SmtpClientInfo {
	readonly remoteAddress: string;
	readonly remotePort: number;
	readonly localAddress: string;
	readonly localPort: number;
	/** A name, or the address in brackets. */
	readonly clientHostname: string;
	/** What the client called itself. */
	readonly hostNameAppearsAs: string;
	/** SMTP, ESMTP, ESMTPS and so on. */
	readonly transmissionType: string;
	/** What a proxy said of the client. */
	readonly xClient: ReadonlyMap<string, unknown>;
}

/** What a session needs of its door. */
export interface SmtpSessionContext {
	readonly settings: SmtpDoorSettings;
	package(report: PackageReport): void;
	fault(error: Error, context: FaultContext): void;
}

/** What became of a message. */
export interface MessageAnswer {
	/** The recipients that RCPT took. */
	readonly recipients: readonly string[];
	/** One for each of them. */
	readonly responses: readonly QmtpResponse[];
}

/** A client's session. */
export class SmtpSession {
	/** True while a step is under way. */
	busy = false;

	readonly #client: SmtpClientInfo;
	readonly #context: SmtpSessionContext;
	#peer: Peer;
	#rights: AccessRights = NO_RIGHTS;
	#refusal: QmtpResponse | null = null;
	#transaction: SmtpTransaction | null = null;

	constructor(client: SmtpClientInfo, context: SmtpSessionContext) {
		this.#client = client;
		this.#context = context;
		this.#peer = peerOf(client);
	}

	/** Asks who the client is. @returns The refusal, or null if it may talk. */
	async authorize(): Promise<QmtpResponse | null> {
		const { hooks } = this.#context.settings;
		this.#peer = peerOf(this.#client);
		this.#rights = NO_RIGHTS;
		this.#refusal = null;
		// A client that has reset the connection already has no address any more: no rule for addresses would find it.
		if (this.#client.remoteAddress === "" && this.#client.localPort > 0) this.#refusal = NOT_AUTHORIZED;
		if (hooks.authorize === undefined || this.#refusal !== null) return this.#refusal;
		try {
			const rights = rightsOf(await hooks.authorize(this.#peer));
			if (rights === null) this.#refusal = NOT_WELCOME;
			else this.#rights = rights;
		} catch (error) {
			this.#context.fault(asError(error), { peer: this.#peer });
			this.#refusal = NOT_AUTHORIZED;
		}
		return this.#refusal;
	}

	/** MAIL. @param size - What it declared, if it did. */
	async mail(sender: string, size: number | undefined): Promise<QmtpResponse | null> {
		this.#transaction = null;
		// A proxy may have said by XCLIENT that it speaks for another client, who must not have the proxy's rights.
		if (this.#client.xClient.size > 0 && !isSame(peerOf(this.#client), this.#peer)) await this.authorize();
		if (this.#refusal !== null) return this.#refusal;
		const info: MessageInfo = {
			id: newMessageId(),
			peer: this.#peer,
			access: this.#rights,
			encoding: "crlf",
			length: size,
			exact: false,
			addressEncoding: "utf-8",
		};
		const transaction = new SmtpTransaction(info, this.#context.settings, (error) => {
			this.#context.fault(error, { peer: info.peer, message: info });
		});
		const refusal = await transaction.begin(sender);
		if (refusal === null) this.#transaction = transaction;
		return refusal;
	}

	/** RCPT, after a MAIL that was taken. */
	async rcpt(recipient: string): Promise<QmtpResponse | null> {
		return (this.#transaction as SmtpTransaction).recipient(recipient);
	}

	/** DATA, after a RCPT that was taken. @returns Null if the client left before the end. */
	async data(body: AsyncIterable<Uint8Array>): Promise<MessageAnswer | null> {
		const transaction = this.#transaction as SmtpTransaction;
		this.#transaction = null;
		const answers = await transaction.receive(body, this.#received());
		if (answers === null) return null;
		const { info: message, sender, recipients, bodyBytes } = transaction;
		let next = 0;
		const responses = recipients.map(({ refusal }) => refusal ?? (answers[next++] as QmtpResponse));
		const named = recipients.map(({ address }) => address);
		const outcome = { sender, recipients: named, responses, bodyBytes };
		const { duration, commitDuration } = transaction;
		const durations = { duration, ...(commitDuration === undefined ? {} : { commitDuration }) };
		this.#context.package({ peer: message.peer, message, ...outcome, ...durations });
		const taken = recipients.filter(({ refusal }) => refusal === null);
		return { recipients: taken.map(({ address }) => address as string), responses: answers };
	}

	#received(): Uint8Array | null {
		const { received, hostname, queue } = this.#context.settings;
		if (!received) return null;
		const { hostNameAppearsAs, transmissionType } = this.#client;
		const greeting: Greeting = { protocol: transmissionType, name: hostNameAppearsAs };
		const field = new ReceivedField(this.#peer, hostname, greeting);
		return field.bytes(Date.now(), queue.lines === "as-sent" ? "crlf" : "lf");
	}
}

function peerOf(client: SmtpClientInfo): Peer {
	const { remoteAddress, remotePort, localAddress, localPort, clientHostname } = client;
	// The proxy says that it does not know the address; smtp-server leaves the proxy's own there.
	const unknown = client.xClient.get("ADDR") === false;
	const peer = { remoteAddress: unknown ? "" : remoteAddress, remotePort, localAddress, localPort };
	const named = clientHostname !== "" && !clientHostname.startsWith("[");
	return named ? { ...peer, remoteHost: clientHostname } : peer;
}

function isSame(one: Peer, other: Peer): boolean {
	return (
		one.remoteAddress === other.remoteAddress &&
		one.remotePort === other.remotePort &&
		one.remoteHost === other.remoteHost
	);
}

const NOT_WELCOME: QmtpResponse = rejected("sorry, I do not take mail from you (#5.7.1)");

/**
 * One message that comes by SMTP: its envelope first, then its body into the queue, and the responses.
 *
 * Refusals are told where SMTP asks: of the message and its sender at MAIL, of a recipient at RCPT. What is wrong with the
 * body is told at its end, since SMTP has no earlier place; until then it is read and dropped.
 *
 * Steps never reject: what a hook or the queue throws is an answer, and is told as a fault.
 */
import { QueueError, TransportError } from "../../errors.js";
import { LineDecoder } from "../../protocol/line-decoder.js";
import type { MessageInfo } from "../../protocol/message-info.js";
import { BAD_RECIPIENT, BAD_SENDER } from "../../protocol/refusals.js";
import type { QmtpResponse, Verdict } from "../../protocol/response.js";
import { Intake, type IntakeOwner, type Wait } from "../../server/intake.js";
import { COMMIT_TIMEOUT, NOT_STORED, TOO_LARGE, TOO_MANY_RECIPIENTS } from "../../server/refusals.js";
import { relaySuffix } from "../../server/rights.js";
import { askHook, withoutRecipientHook } from "../../server/verdict.js";
import { envelopeAddress } from "./address.js";
import { LONGEST_TIMER, type SmtpDoorSettings } from "./settings.js";

/** Told of a hook or a queue that failed. */
type TellFault = (error: Error) => void;

/** A recipient as RCPT left it. */
export interface SmtpRecipient {
	/** Without the suffix of a relay's rights; null if it could not be read as an address. */
	readonly address: string | null;
	/** What RCPT was answered with, or null if it was taken. */
	readonly refusal: QmtpResponse | null;
}

/** A message from its MAIL to its responses. */
export class SmtpTransaction implements IntakeOwner {
	readonly info: MessageInfo;
	/** The sender, once `begin` has let it pass. */
	sender = "";
	/** All that RCPT named, in order, but for those beyond the limit. */
	readonly recipients: SmtpRecipient[] = [];
	/** How many bytes of body were taken in, line ends as one. */
	bodyBytes = 0;
	/** How long the queue took to commit, in milliseconds, if it was asked to. */
	commitDuration: number | undefined;

	readonly #begun = performance.now();
	readonly #settings: SmtpDoorSettings;
	readonly #messageBytes: number;
	readonly #tell: TellFault;
	readonly #intake: Intake;
	#committed: IntakeOwner["committed"] = () => {};
	#tooLarge = false;

	constructor(info: MessageInfo, settings: SmtpDoorSettings, tell: TellFault) {
		const { limits, queue } = settings;
		this.info = info;
		this.#settings = settings;
		this.#messageBytes = Math.min(info.access.messageBytes ?? limits.messageBytes, limits.messageBytes);
		this.#tell = tell;
		this.#intake = new Intake(queue, info, this);
	}

	/** From its MAIL until now, in milliseconds. */
	get duration(): number {
		return performance.now() - this.#begun;
	}

	/** A hook or the queue has failed. */
	fault(error: Error): void {
		this.#tell(error);
	}

	/** The queue has answered, or has failed. */
	committed(...answer: Parameters<IntakeOwner["committed"]>): void {
		this.#committed(...answer);
	}

	/** MAIL. @returns The refusal, or null. */
	async begin(sender: string): Promise<QmtpResponse | null> {
		const { hooks, limits } = this.#settings;
		const { info } = this;
		if ((info.length ?? 0) > this.#messageBytes) return TOO_LARGE;
		const refusal = await this.#ask(() => hooks.message?.(info));
		if (refusal !== null) return refusal;
		const address = envelopeAddress(sender, limits.addressBytes);
		if (address === null) return BAD_SENDER;
		this.sender = address;
		return this.#ask(() => hooks.sender?.(address, info));
	}

	/** RCPT. @returns The refusal, or null. */
	async recipient(text: string): Promise<QmtpResponse | null> {
		const { limits } = this.#settings;
		// Those are not kept: a client may go on with them for ever.
		if (this.recipients.length >= limits.recipients) return TOO_MANY_RECIPIENTS;
		const more = Buffer.byteLength(relaySuffix(this.info.access));
		const address = envelopeAddress(text, limits.addressBytes - more);
		const refusal = address === null ? BAD_RECIPIENT : await this.#judge(address);
		this.recipients.push({ address, refusal });
		return refusal;
	}

	/**
	 * The body, to its end.
	 *
	 * @param received - The field to put on top, if one is.
	 * @returns A response for each recipient that RCPT took; null if the client left before the end.
	 */
	async receive(
		body: AsyncIterable<Uint8Array>,
		received: Uint8Array | null,
	): Promise<readonly QmtpResponse[] | null> {
		const lines = new LineDecoder();
		try {
			await this.#intake.begin(received);
			for await (const sent of body) {
				const wait = this.#take(sent, lines.decode(sent));
				if (wait !== undefined) await wait;
			}
		} catch (cause) {
			const message = "the client left inside a message";
			await this.#intake.abort(new TransportError("ERR_QMTP_CONNECTION_CLOSED", message, { cause }));
			return null;
		}
		await this.#take(NOTHING, lines.end());
		return this.#end();
	}

	async #end(): Promise<readonly QmtpResponse[]> {
		const suffix = relaySuffix(this.info.access);
		const recipients: string[] = [];
		for (const { address, refusal } of this.recipients)
			if (refusal === null) recipients.push(address + suffix);
		const refusal = this.#tooLarge ? TOO_LARGE : this.#intake.refusal;
		if (refusal === null && this.#intake.open) return this.#commit(recipients);
		return recipients.map(() => refusal ?? NOT_STORED);
	}

	#commit(recipients: readonly string[]): Promise<readonly QmtpResponse[]> {
		const { commit } = this.#settings.timeouts;
		const begun = performance.now();
		return new Promise((settle) => {
			const resolve = (responses: readonly QmtpResponse[]) => {
				this.commitDuration ??= performance.now() - begun;
				settle(responses);
			};
			const timeOut = () => {
				const message = "the queue did not commit a message in time";
				this.#tell(new QueueError("ERR_QMTP_QUEUE_COMMIT_TIMEOUT", message));
				resolve(recipients.map(() => COMMIT_TIMEOUT));
			};
			const timer = commit > LONGEST_TIMER ? undefined : setTimeout(timeOut, commit);
			this.#committed = (answers, missing) => {
				clearTimeout(timer);
				resolve(recipients.map((_, index) => answers[index] ?? missing)); // nothing, if it was too late
			};
			this.#intake.commit({ sender: this.sender, recipients });
		});
	}

	#take(sent: Uint8Array, decoded: Uint8Array): Wait {
		if (this.#tooLarge) return;
		this.bodyBytes += decoded.length;
		if (this.bodyBytes > this.#messageBytes) {
			this.#tooLarge = true;
			return this.#intake.abort(new QueueError("ERR_QMTP_QUEUE", TOO_LARGE.description));
		}
		const bytes = this.#settings.queue.lines === "as-sent" ? sent : decoded;
		if (bytes.length > 0) return this.#intake.write(bytes);
	}

	async #judge(address: string): Promise<QmtpResponse | null> {
		const { hooks } = this.#settings;
		if (hooks.recipient === undefined) return withoutRecipientHook(this.info);
		return this.#ask(() => hooks.recipient?.(address, this.info));
	}

	async #ask(hook: () => Verdict | Promise<Verdict>): Promise<QmtpResponse | null> {
		return askHook(hook, this);
	}
}

const NOTHING = new Uint8Array(0);

/**
 * One connection of a server, from its first byte to its last.
 *
 * It pulls a chunk, lets the connection say what is in it, and hands each step to the package's transaction. What a
 * step must wait for, it waits for here, and so does the client: that is all the backpressure there is.
 *
 * However it ends, what was accepted is answered first, and input is read until the client has closed its side too:
 * closing a socket with unread input makes the kernel throw away answers already written.
 */
import { ProtocolError, TransportError } from "../errors.js";
import { NEED_DATA } from "../netstring/decoder.js";
import type { MessageInfo } from "../protocol/message-info.js";
import {
	BODY,
	MESSAGE,
	PACKAGE_END,
	type PackageStep,
	RECIPIENT,
	SENDER,
} from "../protocol/package-decoder.js";
import type { AccessRights, Peer } from "../protocol/peer.js";
import type { QmtpResponse } from "../protocol/response.js";
import { ServerConnection } from "../protocol/server-connection.js";
import type { Timed } from "../timers.js";
import { Answers } from "./answers.js";
import { AFTER_PACKAGE, DESTROYED, Ending, NOW, RUNNING } from "./ending.js";
import { ConnectionBytes } from "./held-bytes.js";
import { asError, type Wait } from "./intake.js";
import type { ServerSettings } from "./options.js";
import { PackageTrace } from "./package-trace.js";
import { Patience } from "./patience.js";
import { ReceivedField } from "./received.js";
import { NOT_AUTHORIZED } from "./refusals.js";
import type { DisconnectReport } from "./reports.js";
import { NO_RIGHTS, rightsOf } from "./rights.js";
import type { SessionContext } from "./session-context.js";
import type { Counts } from "./stats.js";
import { Transaction, type TransactionContext } from "./transaction.js";
import { INTERRUPTED, type Transport } from "./transport.js";

/** A session: `run()` it once. */
export class Session implements Timed, TransactionContext {
	readonly settings: ServerSettings;
	readonly peer: Peer;
	readonly bytes: ConnectionBytes;
	readonly counts: Counts;
	messageBytes: number;
	refusal: QmtpResponse | null = null;
	received: Uint8Array | null = null;

	readonly #context: SessionContext;
	readonly #transport: Transport;
	readonly #receivedField: ReceivedField | null;
	#connection: ServerConnection;
	#answers: Answers;
	#access: AccessRights = NO_RIGHTS;
	readonly #ending: Ending;
	readonly #patience: Patience;
	#transaction: Transaction | null = null; // the package being read
	#lastStep: PackageStep = NEED_DATA;
	#reading = false; // waiting for input, or for the client to read
	#inputEnded = false;
	#active: number; // when it began to wait
	#endBy = Number.POSITIVE_INFINITY; // when the present step of ending has lasted too long

	constructor(transport: Transport, peer: Peer, context: SessionContext) {
		this.settings = context.settings;
		this.peer = peer;
		this.messageBytes = context.settings.limits.messageBytes;
		this.#context = context;
		this.#transport = transport;
		this.#receivedField = context.settings.received
			? new ReceivedField(peer, context.settings.hostname)
			: null;
		const { limits } = this.settings;
		this.bytes = new ConnectionBytes(context.heldBytes, limits.heldBytesPerConnection);
		this.counts = context.counts;
		this.#ending = new Ending(() => transport.interrupt());
		this.#patience = new Patience(this.settings);
		this.#active = context.timers.now;
		this.#connection = new ServerConnection(limits);
		this.#answers = this.#newAnswers();
	}

	/** Runs the session. Resolves when it has ended; never rejects. */
	async run(): Promise<DisconnectReport> {
		this.#context.timers.add(this);
		try {
			if (await this.#authorize()) {
				await this.#receive();
				await this.#finish();
			}
		} catch (error) {
			this.#fail(error); // a bug of ours: the connection ends, the server does not
		}
		this.#transport.destroy();
		this.#context.timers.remove(this);
		this.#answers.forget();
		this.bytes.end();
		const report = { peer: this.peer, packages: this.#answers.packages };
		const error = this.#ending.error ?? this.#transport.error;
		return error === null ? report : { ...report, error };
	}

	/** Ends the session when the package being read is complete: at once if there is none. */
	close(): void {
		this.#ending.ask(AFTER_PACKAGE, null);
	}

	/** Ends the session now, and answers nothing more. */
	destroy(): void {
		this.#ending.ask(DESTROYED, new TransportError("ERR_QMTP_DESTROYED", "the server was destroyed"));
		this.#transport.destroy();
	}

	check(now: number): void {
		const { heldBytes } = this.#context;
		if (heldBytes.isOver) this.#transaction?.recount();
		heldBytes.check(now);
		this.#answers.check(now);
		if (now >= this.#endBy) this.#ending.ask(DESTROYED, null);
		if (this.#ending.urgency >= NOW) return; // its end is bounded by what stands above
		const since = this.#idle ? Math.max(this.#active, this.#answers.lastWrite) : null;
		const isForRest = this.#idle && this.#answers.writable && !this.#connection.idle;
		const error = this.#patience.check(now, { since, isForRest });
		if (error === null) return;
		const isDeaf = error.code === "ERR_QMTP_IDLE_TIMEOUT" && !this.#answers.writable;
		this.#ending.ask(isDeaf ? DESTROYED : NOW, error); // nothing can be said to one that does not read
	}

	skipBody(): void {
		this.#connection.skipBody();
	}

	fault(error: Error, message: MessageInfo): void {
		this.#context.fault(error, { peer: this.peer, message });
	}

	answer(transaction: Transaction, responses: readonly QmtpResponse[]): void {
		this.#answers.give(transaction, responses);
		this.#context.heldBytes.answered(this.bytes, transaction);
		this.counts.answered(transaction.bodyBytes, responses);
		if (transaction.trace === null && !this.reportsPackages) return;
		const report = transaction.report(responses);
		transaction.trace?.ended(report);
		this.#context.package(report);
	}

	get reportsPackages(): boolean {
		return this.#context.reportsPackages;
	}

	/** Asks who the peer is. @returns False if it may not talk. */
	async #authorize(): Promise<boolean> {
		const { hooks } = this.settings;
		if (hooks.authorize !== undefined) {
			try {
				const access = await this.#ending.before(Promise.resolve(hooks.authorize(this.peer)), AFTER_PACKAGE);
				if (this.#ending.urgency !== RUNNING) return false;
				const rights = rightsOf(access);
				if (rights === null) return false;
				this.#grant(rights);
			} catch (error) {
				this.#context.fault(asError(error), { peer: this.peer });
				this.refusal = NOT_AUTHORIZED;
			}
		}
		return true;
	}

	#grant(access: AccessRights): void {
		const { messageBytes } = access;
		if (messageBytes !== undefined) {
			this.#connection = new ServerConnection({ ...this.settings.limits, messageBytes });
			this.#answers = this.#newAnswers();
			this.messageBytes = messageBytes;
		}
		this.#access = access;
	}

	#newAnswers(): Answers {
		const { settings, bytes } = this;
		const { timers } = this.#context;
		return new Answers(this.#connection, { transport: this.#transport, settings, timers, bytes });
	}

	/** Reads packages until the client ends, or somebody stops the session. */
	async #receive(): Promise<void> {
		while (
			this.#ending.urgency === RUNNING ||
			(this.#ending.urgency === AFTER_PACKAGE && !this.#connection.idle)
		) {
			this.#answers.flush();
			if (!this.bytes.isFree) {
				const room = this.bytes.room({ reading: this.#transaction, isOwed: this.#connection.pending > 0 });
				if (room !== undefined) {
					await this.#ending.before(room, this.#connection.idle ? AFTER_PACKAGE : NOW);
					this.bytes.wake();
					continue;
				}
			}
			this.#active = this.#context.timers.now;
			this.#reading = true;
			if (!this.#answers.writable) {
				await this.#ending.before(this.#answers.drained());
				this.#reading = false;
				continue;
			}
			const reading = this.#transport.read();
			const input = reading instanceof Promise ? await reading : reading;
			this.#reading = false;
			if (input === INTERRUPTED) continue;
			if (input === null) return this.#endInput();
			this.#patience.received(input.length);
			this.bytes.receive(input.length);
			try {
				this.#connection.receive(input);
				const wait = this.#steps(); // no promise for a chunk that nobody waits for
				if (wait !== undefined) await this.#waitAndStep(wait);
			} catch (error) {
				if (error instanceof ProtocolError) this.#ending.ask(NOW, error);
				else this.#fail(error);
			}
		}
	}

	/** Takes steps until one must be waited for, the chunk is used up, or the session is to end. */
	#steps(): Wait {
		const connection = this.#connection;
		for (let step = connection.step(); step !== NEED_DATA; step = connection.step()) {
			this.#lastStep = step;
			const wait = this.#handle(step);
			if (wait !== undefined) return wait;
			if (this.#isToStop) return;
		}
	}

	async #waitAndStep(first: Promise<void>): Promise<void> {
		for (let wait: Wait = first; wait !== undefined; wait = this.#steps()) {
			this.#answers.arm();
			await this.#ending.before(wait);
			if (this.#isToStop) return;
		}
	}

	/** What follows the last package in a chunk is dropped unanswered: its client will send it again. */
	get #isToStop(): boolean {
		const { urgency } = this.#ending;
		if (urgency === RUNNING) return false;
		return urgency !== AFTER_PACKAGE || this.#lastStep === PACKAGE_END;
	}

	#handle(step: PackageStep): Wait {
		if (step === MESSAGE) return this.#begin();
		const transaction = this.#transaction as Transaction;
		const { trace } = transaction;
		return trace === null ? this.#step(step, transaction) : trace.step(() => this.#step(step, transaction));
	}

	#step(step: PackageStep, transaction: Transaction): Wait {
		const { decoder } = this.#connection;
		if (step === BODY) return transaction.body(decoder.chunk.subarray(decoder.start, decoder.end));
		if (step === SENDER) return transaction.sentBy(decoder);
		if (step === RECIPIENT) return transaction.sentTo(decoder);
		return this.#end(transaction);
	}

	#begin(): Wait {
		const { encoding, length } = this.#connection.decoder;
		const { queue, addressEncoding } = this.settings;
		const asSent = queue.lines === "as-sent";
		this.received = this.#receivedField?.bytes(Date.now(), asSent ? encoding : "lf") ?? null;
		const info = {
			id: this.#context.newId(),
			peer: this.peer,
			access: this.#access,
			encoding,
			length,
			received: this.received?.length ?? 0,
			exact: encoding === "lf" || asSent,
			addressEncoding,
		};
		const transaction = new Transaction(info, this.#connection.number, this);
		this.#transaction = transaction;
		const trace = PackageTrace.start(this.peer, info);
		transaction.trace = trace;
		return trace === null ? transaction.begin() : trace.begin(() => transaction.begin());
	}

	#end(transaction: Transaction): Wait {
		this.#transaction = null;
		this.#answers.expect(transaction);
		transaction.end();
		return this.#answers.roomFor(this.settings.limits.pipelined);
	}

	#endInput(): void {
		this.#inputEnded = true;
		this.#connection.receiveEnd();
		if (this.#connection.idle || this.#transport.error !== null) return;
		this.#ending.error = new TransportError("ERR_QMTP_CONNECTION_CLOSED", "the client left inside a package");
	}

	/** Answers what is owed, closes our side, and reads on until the client has closed its own. */
	async #finish(): Promise<void> {
		const { timers } = this.#context;
		const { commit, idle, linger } = this.settings.timeouts;
		this.bytes.end();
		this.#ending.ask(NOW, null); // from here on `#endBy` alone bounds it: no other time may take answers away
		this.#endBy = timers.now + commit + idle;
		const reason = this.#ending.error ?? this.#transport.error ?? UNFINISHED;
		const abandoned = this.#transaction?.abandon(reason);
		if (abandoned !== undefined) await this.#ending.before(abandoned);
		const answered = this.#answers.roomFor(1);
		if (answered !== undefined) await this.#ending.before(answered);
		if (this.#ending.urgency === DESTROYED) return;
		this.#answers.flush();
		this.#endBy = timers.now + idle;
		// It is read meanwhile: a client may read nothing of its answers before it has sent everything.
		const ended = this.#answers
			.drained()
			.then(() => this.#transport.end())
			.then(() => {
				this.#endBy = timers.now + linger;
			});
		for (let dropped = 0; !this.#inputEnded && dropped <= LINGER_BYTES && !this.#destroyed; ) {
			const input = await this.#transport.read();
			if (input === null) this.#inputEnded = true;
			else if (input !== INTERRUPTED) dropped += input.length;
		}
		if (!this.#destroyed) await this.#ending.before(ended);
	}

	#fail(error: unknown): void {
		this.#context.fault(asError(error), { peer: this.peer });
		this.#ending.ask(NOW, asError(error));
	}

	get #destroyed(): boolean {
		return this.#ending.urgency === DESTROYED;
	}

	/** True while the client is to do something: send, or read what it is owed, whatever the session waits for. */
	get #idle(): boolean {
		return !this.#answers.writable || (this.#reading && this.#connection.pending === 0);
	}
}

const UNFINISHED = new TransportError("ERR_QMTP_CONNECTION_CLOSED", "the connection ended inside a package");
const LINGER_BYTES = 64 * 1024 * 1024;

/**
 * Takes mail out of a maildir, one file a job. A file that is no mail, or cannot be opened, is told of and does not hold
 * up the others.
 */
import { Alarm } from "../alarm.js";
import type { Job } from "../source.js";
import { Agenda, type PutOff, type Turn } from "./agenda.js";
import { DirectorySync } from "./directory-sync.js";
import { codeOf, isOfProcess, queueError } from "./fault.js";
import type { MaildirFileSystem } from "./file-system.js";
import { canBeSent } from "./head.js";
import { MaildirJob } from "./job.js";
import { pathOf } from "./listing.js";
import { isNoFile, type OpenedFile, openMail } from "./mail.js";
import { isSame, type Mark } from "./mark.js";
import { NewFolder } from "./new-folder.js";

/** How mail is taken. */
export interface JobSettings {
	/** How often to look for new mail, in ms. */
	readonly poll: number;
	/** What the recipients of our mail begin with; one character is one byte. */
	readonly prefix: string;
	/** Rejects with a QueueError if the maildir is not ours any more: somebody else may deliver its mail. */
	readonly check: () => Promise<void>;
	/** Told of a file that cannot be delivered, once. */
	readonly onSkipped: (name: string, reason: string) => void;
	/** ms since 1970. */
	readonly now: () => number;
	readonly fileSystem: MaildirFileSystem;
}

/** The mail of one maildir, and what of it is out. */
export class Jobs {
	readonly #settings: JobSettings;
	readonly #agenda = new Agenda();
	readonly #folder: NewFolder;
	readonly #sync: DirectorySync;
	readonly #loops = new Set<Alarm>();
	#isOurs = true; // by the last check

	/** @param path - new/, with a slash at the end. */
	constructor(path: string, settings: JobSettings) {
		this.#settings = settings;
		this.#folder = new NewFolder(path, this.#agenda, settings.poll, () => this.#check());
		this.#sync = new DirectorySync(settings.fileSystem, path);
	}

	/**
	 * See {@link Source.take}.
	 *
	 * @param ending - Each of them ends it.
	 * @param concurrency - How many may be out at a time.
	 */
	async *take(ending: readonly AbortSignal[], concurrency: number): AsyncGenerator<Job, undefined> {
		const alarm = new Alarm(ending);
		this.#loops.add(alarm);
		const out = new Set<Turn>();
		const letGo = (turn: Turn) => {
			out.delete(turn);
			alarm.ring();
		};
		try {
			while (!alarm.ended) {
				alarm.reset(); // what rings from now on is not in what is looked up now
				if (!this.#isOurs) await this.#check();
				const isFull = out.size === concurrency;
				const turn = isFull ? null : this.#agenda.next(this.#settings.now());
				if (turn === null) {
					await this.#wait(alarm, isFull);
					continue;
				}
				if (turn.finished !== null) {
					await this.#remove(turn, turn.finished).catch(ignore); // it was told to who settled it
					continue;
				}
				const job = await this.#open(turn, () => letGo(turn));
				if (job === null) continue;
				if (alarm.ended) {
					this.#giveBack(turn);
					return;
				}
				out.add(turn);
				yield job;
			}
		} catch (error) {
			throw queueError(error);
		} finally {
			this.#loops.delete(alarm);
			alarm.end();
		}
	}

	/** Waits until there may be something to do. */
	async #wait(alarm: Alarm, isFull: boolean): Promise<void> {
		if (isFull) return await alarm.wait(LONGEST_WAIT_MS); // woken when one is settled
		const looking = this.#folder.look();
		if (looking !== null) return await alarm.during(looking);
		const untilDue = this.#agenda.nextDue - this.#settings.now();
		await alarm.wait(Math.max(1, Math.min(this.#folder.pause, untilDue, this.#settings.poll)));
	}

	/** Null if there is nothing to be delivered. @throws What the system says if that is no fault of the file. */
	async #open(turn: Turn, letGo: () => void): Promise<Job | null> {
		const { now, prefix } = this.#settings;
		let opened: OpenedFile;
		try {
			opened = await openMail(pathOf(this.#folder.path, turn.name), prefix, false);
		} catch (error) {
			this.#cannotOpen(turn, error);
			return null;
		}
		const { mark, mail } = opened;
		if (typeof mail !== "string" && canBeSent(mail)) {
			return new MaildirJob(turn, mail, {
				now,
				remove: () => this.#remove(turn, mark).finally(letGo),
				putOff: (dueAt) => {
					letGo();
					this.#putOff(turn, { dueAt, attempts: turn.attempts + 1 });
				},
			});
		}
		this.#agenda.setAside(turn, mail === "other" ? null : mark);
		if (mail !== "other" && !turn.told)
			void this.#tell(turn.name, mail === "malformed" ? NO_MAIL : NO_ADDRESS);
		return null;
	}

	#cannotOpen(turn: Turn, error: unknown): void {
		const { attempts, told } = turn;
		if (isOfProcess(error)) {
			this.#giveBack(turn);
			throw error;
		}
		const wasMail = attempts > 0 || told;
		if (codeOf(error) === "ENOENT") {
			this.#agenda.done(turn);
		} else if (isNoFile(error) && !wasMail) {
			this.#agenda.setAside(turn, null);
		} else {
			this.#putOff(turn, { dueAt: this.#settings.now() + RETRY_MS, attempts, told: true });
			if (!told) void this.#tell(turn.name, (error as Error).message);
		}
	}

	/**
	 * Resolves when the file is gone for good. If that cannot be, its removal is all that is tried from now on: mail that
	 * was delivered, or sent back, is not handed out again as long as this process remembers it.
	 */
	async #remove(turn: Turn, mark: Mark): Promise<void> {
		const { fileSystem, now } = this.#settings;
		const path = pathOf(this.#folder.path, turn.name);
		try {
			await this.#check();
			const stats = await fileSystem.lstat(path).catch(nullIfGone);
			if (stats !== null && isSame(mark, stats)) await fileSystem.unlink(path).catch(nullIfGone);
			await this.#sync.sync();
			this.#agenda.done(turn);
			if (stats !== null && !isSame(mark, stats)) this.#folder.hasMore(); // which nobody has sent
		} catch (error) {
			this.#putOff(turn, { dueAt: now() + RETRY_MS, attempts: turn.attempts, finished: mark });
			throw queueError(error);
		}
	}

	async #check(): Promise<void> {
		try {
			await this.#settings.check();
			this.#isOurs = true;
		} catch (error) {
			this.#isOurs = false;
			throw error;
		}
	}

	#putOff(turn: Turn, how: PutOff): void {
		this.#agenda.tick(this.#settings.now());
		this.#agenda.putOff(turn, how);
		for (const alarm of this.#loops) alarm.ring(); // they may wait for too long
	}

	/** As if it had not been taken. */
	#giveBack(turn: Turn): void {
		this.#agenda.putOff(turn, turn);
		for (const alarm of this.#loops) alarm.ring();
	}

	async #tell(name: string, reason: string): Promise<void> {
		try {
			await this.#settings.onSkipped(Buffer.from(name, "latin1").toString(), reason);
		} catch (error) {
			console.error("qmtp: onSkipped of a maildir threw:", error);
		}
	}
}

/** Somebody was there first: we ourselves, the last time. */
function nullIfGone(error: unknown): null {
	if (codeOf(error) === "ENOENT") return null;
	throw error;
}

function ignore(): void {}

const NO_MAIL = "it does not begin with the lines Return-Path: <SENDER> and Delivered-To: RECIPIENT";
const NO_ADDRESS = "its recipient is empty, or there is a CR or a NUL in an address";
const RETRY_MS = 5 * 60 * 1000; // of what is the fault of the disk, or of a file
const LONGEST_WAIT_MS = 60_000;

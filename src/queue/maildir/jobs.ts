/**
 * Takes mail out of a maildir, one file a job. A file that is no mail, or cannot be opened, is told of and does not hold
 * up the others.
 */
import type { Job } from "../source.js";
import { Agenda, type Turn } from "./agenda.js";
import { DirectorySync } from "./directory-sync.js";
import { codeOf, queueError } from "./fault.js";
import type { MaildirFileSystem } from "./file-system.js";
import { MaildirJob } from "./job.js";
import { pathOf } from "./listing.js";
import { openMail } from "./mail.js";
import { NewFolder } from "./new-folder.js";
import { Pause } from "./pause.js";

/** How mail is taken. */
export interface JobSettings {
	/** How often to look for new mail, in ms. */
	readonly poll: number;
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
	readonly #loops = new Set<Pause>();

	/** @param path - new/, with a slash at the end. */
	constructor(path: string, settings: JobSettings) {
		this.#settings = settings;
		this.#folder = new NewFolder(path, this.#agenda, settings.poll);
		this.#sync = new DirectorySync(settings.fileSystem, path);
	}

	/**
	 * See {@link Source.take}.
	 *
	 * @param ending - Each of them ends it.
	 * @param concurrency - How many may be out at a time.
	 */
	async *take(ending: readonly AbortSignal[], concurrency: number): AsyncGenerator<Job, undefined> {
		const pause = new Pause(ending);
		this.#loops.add(pause);
		const out = new Set<Turn>();
		const letGo = (turn: Turn) => {
			out.delete(turn);
			pause.wake();
		};
		try {
			while (!pause.ended) {
				const isFull = out.size === concurrency;
				const turn = isFull ? null : this.#agenda.next(this.#settings.now());
				if (turn === null) {
					await this.#wait(pause, isFull);
					continue;
				}
				const job = await this.#open(turn, () => letGo(turn));
				if (job === null) continue;
				if (pause.ended) {
					this.#giveBack(turn);
					return;
				}
				out.add(turn);
				yield job;
			}
		} catch (error) {
			throw queueError(error);
		} finally {
			this.#loops.delete(pause);
			pause.end();
		}
	}

	/** Waits until there may be something to do. */
	async #wait(pause: Pause, isFull: boolean): Promise<void> {
		if (isFull) return await pause.for(LONGEST_WAIT_MS); // woken when one is settled
		const looking = this.#folder.look();
		if (looking !== null) return await pause.during(looking);
		const untilDue = this.#agenda.nextDue - this.#settings.now();
		await pause.for(Math.max(1, Math.min(this.#folder.pause, untilDue, this.#settings.poll)));
	}

	/** Null if there is nothing to be delivered. @throws What the system says if that is no fault of the file. */
	async #open(turn: Turn, letGo: () => void): Promise<Job | null> {
		try {
			const mail = await openMail(pathOf(this.#folder.path, turn.name), "");
			if (typeof mail !== "string") {
				return new MaildirJob(turn, mail, {
					now: this.#settings.now,
					remove: () => this.#remove(turn).finally(letGo),
					putOff: (dueAt) => {
						letGo();
						this.#putOff(turn, dueAt);
					},
				});
			}
			this.#agenda.setAside(turn);
			this.#tell(turn.name, NO_MAIL);
		} catch (error) {
			const code = codeOf(error);
			if (OF_PROCESS.includes(code)) {
				this.#giveBack(turn);
				throw error;
			}
			if (code === "ENOENT") {
				this.#agenda.done(turn);
			} else {
				const { attempts, unreadable } = turn;
				const dueAt = this.#settings.now() + RETRY_MS;
				this.#agenda.putOff(turn, { dueAt, attempts, unreadable: true });
				if (!unreadable) this.#tell(turn.name, (error as Error).message);
			}
		}
		return null;
	}

	/** Resolves when the file is gone for good. */
	async #remove(turn: Turn): Promise<void> {
		const { fileSystem, now } = this.#settings;
		try {
			await fileSystem.unlink(pathOf(this.#folder.path, turn.name)).catch((error: unknown) => {
				if (codeOf(error) !== "ENOENT") throw error; // else somebody was there first: we ourselves, the last time
			});
			await this.#sync.sync();
			this.#agenda.done(turn);
		} catch (error) {
			// Not at once, or it would be delivered again and again.
			this.#putOff(turn, now() + RETRY_MS);
			throw queueError(error);
		}
	}

	#putOff(turn: Turn, dueAt: number): void {
		this.#agenda.putOff(turn, { dueAt, attempts: turn.attempts + 1 });
		for (const pause of this.#loops) pause.wake(); // they may wait for too long
	}

	/** As if it had not been taken. */
	#giveBack(turn: Turn): void {
		this.#agenda.putOff(turn, turn);
		for (const pause of this.#loops) pause.wake();
	}

	#tell(name: string, reason: string): void {
		try {
			this.#settings.onSkipped(Buffer.from(name, "latin1").toString(), reason);
		} catch (error) {
			console.error("qmtp: onSkipped of a maildir threw:", error);
		}
	}
}

const NO_MAIL = "it does not begin with the lines Return-Path: <SENDER> and Delivered-To: RECIPIENT";
const OF_PROCESS = ["EMFILE", "ENFILE", "ENOMEM"];
const RETRY_MS = 5 * 60 * 1000; // of what is the fault of the disk, or of a file
const LONGEST_WAIT_MS = 60_000;

/**
 * Empties a maildir in passes, each over all mail that is there and has not had its turn, until a pass finds nothing.
 * Passes without a single answer are tried three times.
 *
 * Source: maildirserial.c of serialmail 0.75.
 */
import { TEMPORARY } from "../command.js";
import { Progress } from "../progress.js";
import type { Link } from "./link.js";
import type { Candidate, Mailbox } from "./mailbox.js";
import type { Outcomes } from "./outcomes.js";
import { type Report, reasonOf } from "./report.js";
import { Transmission } from "./transmission.js";

/** Who takes part. */
export interface RunOptions {
	readonly mailbox: Mailbox;
	readonly link: Link;
	readonly outcomes: Outcomes;
	readonly report: Report;
	/** The most messages that are sent and not answered. */
	readonly window: number;
	/** Aborted: nothing more is sent, but what was sent gets its answer. */
	readonly signal: AbortSignal;
}

/** Sends what is in the maildir. @returns The exit code. */
export async function emptyMaildir(options: RunOptions): Promise<number> {
	const { mailbox, outcomes, report, signal } = options;
	for (let left = PATIENCE; left > 0; ) {
		await mailbox.clean();
		let found: Candidate[];
		try {
			found = await mailbox.list();
		} catch (error) {
			report.fatal(`unable to scan ${mailbox.path}: ${reasonOf(error)}`);
			return TEMPORARY;
		}
		const { begun, answered } = await pass(
			found.filter(({ name }) => !outcomes.isKept(name)),
			options,
		);
		if (signal.aborted) return TEMPORARY;
		if (!begun) return report.exitCode;
		left = answered ? PATIENCE : left - 1;
	}
	report.fatal("making no progress, giving up");
	return TEMPORARY;
}

/** Sends these to the first address of the server that can be reached. */
async function pass(
	candidates: readonly Candidate[],
	options: RunOptions,
): Promise<{ readonly begun: boolean; readonly answered: boolean }> {
	const { link, report } = options;
	const progress = new Progress(
		process.stderr,
		candidates.reduce((sum, { size }) => sum + size, 0),
	);
	report.progress = progress;
	try {
		for (;;) {
			const transmission = new Transmission({ ...options, progress });
			await transmission.run(candidates.filter(({ name }) => !options.outcomes.isKept(name)));
			const { begun, answered, fault } = transmission;
			const again = fault !== null && link.fail(fault);
			if (!again || options.signal.aborted) return { begun, answered: answered > 0 };
		}
	} finally {
		progress.clear();
		report.progress = null;
	}
}

const PATIENCE = 3; // passes

/**
 * Spools that are open in this thread. One directory is opened once, whoever asks for it: so those who put mail in and
 * those who take it out share transactions, and tell each other of changes.
 */
import { mkdir, realpath } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { Bodies, DIRECTORY_MODE, syncDirectory } from "./bodies.js";
import { SpoolDatabase } from "./database.js";
import { SpoolStore } from "./store.js";

/** A spool that is open, until it is let go of. */
export interface OpenedSpool {
	readonly store: SpoolStore;
	/** Once. */
	close(): Promise<void>;
}

/**
 * Opens the spool in a directory, which is made if it is missing, and removes the bodies that crashed deliveries left.
 * It rejects with the system's error, LMDB's, or one that says so if lmdb is not installed.
 */
export async function openSpool(path: string): Promise<OpenedSpool> {
	await makeDurably(path);
	const directory = await realpath(path);
	const entry = opened.get(directory) ?? { users: 0, opening: prepareStore(directory) };
	opened.set(directory, entry);
	entry.users++;
	const close = async () => {
		if (--entry.users > 0) return;
		opened.delete(directory);
		await (await entry.opening).close();
	};
	try {
		return { store: await entry.opening, close };
	} catch (error) {
		if (opened.get(directory) === entry) opened.delete(directory);
		throw error;
	}
}

async function prepareStore(directory: string): Promise<SpoolStore> {
	const bodies = new Bodies(directory);
	await bodies.make();
	const store = new SpoolStore(SpoolDatabase.open(directory), bodies);
	try {
		await syncDirectory(directory); // also when all was there: whoever made it may not have come to this
		await bodies.removeLeftOvers((id, name) => store.isNamed(id, name));
		return store;
	} catch (error) {
		await store.close();
		throw error;
	}
}

/** Makes a directory and those above it, with their names on the disk. */
async function makeDurably(path: string): Promise<void> {
	const first = await mkdir(path, { mode: DIRECTORY_MODE, recursive: true });
	if (first === undefined) return;
	const topmost = dirname(resolve(first));
	for (let made = resolve(path); made !== topmost; made = dirname(made)) await syncDirectory(dirname(made));
}

interface Entry {
	users: number;
	readonly opening: Promise<SpoolStore>;
}

const opened = new Map<string, Entry>(); // by real path

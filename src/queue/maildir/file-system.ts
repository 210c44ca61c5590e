/**
 * The file-system calls that a maildir is made of. All go through one object, so that a test can fail or hold back any
 * of them. They use plain descriptors: a FileHandle for each file doubles the time that a message takes in JavaScript
 * (100 to 57 us of CPU for open, write, fsync, close and rename).
 */
import * as fs from "node:fs";

/** Each call is the one of its name in `node:fs`, and rejects with the system's error. */
export interface MaildirFileSystem {
	mkdir(path: string, mode: number): Promise<void>;
	/** Resolves with a descriptor. */
	open(path: string, flags: string, mode?: number): Promise<number>;
	/** Resolves with the number of bytes written, which may be fewer than there are. */
	writev(descriptor: number, views: readonly Uint8Array[]): Promise<number>;
	/** Resolves with the number of bytes read into the block. */
	read(descriptor: number, block: Uint8Array, length: number, position: number): Promise<number>;
	fsync(descriptor: number): Promise<void>;
	close(descriptor: number): Promise<void>;
	rename(from: string, to: string): Promise<void>;
	unlink(path: string | Buffer): Promise<void>;
	readdir(path: string): Promise<string[]>;
	lstat(path: string | Buffer): Promise<fs.Stats>;
	statfs(path: string): Promise<fs.StatsFs>;
}

/** The real one. */
export const nodeFileSystem: MaildirFileSystem = {
	mkdir: (path, mode) => call((done) => fs.mkdir(path, mode, done)),
	open: (path, flags, mode) => call((done) => fs.open(path, flags, mode, done)),
	writev: (descriptor, views) => call((done) => fs.writev(descriptor, views as Uint8Array[], done)),
	read: (descriptor, block, length, position) =>
		call((done) => fs.read(descriptor, block, 0, length, position, done)),
	fsync: (descriptor) => call((done) => fs.fsync(descriptor, done)),
	close: (descriptor) => call((done) => fs.close(descriptor, done)),
	rename: (from, to) => call((done) => fs.rename(from, to, done)),
	unlink: (path) => call((done) => fs.unlink(path, done)),
	readdir: (path) => call((done) => fs.readdir(path, done)),
	lstat: (path) => call((done) => fs.lstat(path, done)),
	statfs: (path) => call((done) => fs.statfs(path, done)),
};

/** Writes all of the views, however many calls that takes. It may change the array. */
export async function writeAll(
	fileSystem: MaildirFileSystem,
	descriptor: number,
	views: Uint8Array[],
): Promise<void> {
	let first = 0;
	while (first < views.length) {
		let written = await fileSystem.writev(descriptor, first === 0 ? views : views.slice(first));
		for (; first < views.length; first++) {
			const view = views[first] as Uint8Array;
			if (written < view.length) {
				views[first] = view.subarray(written);
				break;
			}
			written -= view.length;
		}
	}
}

function call<T>(start: (done: (error: Error | null, result?: T) => void) => void): Promise<T> {
	return new Promise((resolve, reject) => {
		start((error, result) => (error ? reject(error) : resolve(result as T)));
	});
}

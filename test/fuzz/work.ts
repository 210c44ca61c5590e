/**
 * Measures work without a clock: how often each block of code ran, as V8 counts it for coverage, and how many bytes and
 * characters the functions of the runtime went through that code called. It is the same on each run and each machine,
 * so a reader whose work grows with the square of its input is found out by a bound, and not by patience.
 *
 * It counts blocks of the files it is told to look at, whoever runs them, and of the runtime's functions those in
 * `GOING_THROUGH` below, at their full price (a slice of a string costs its length). Regular expressions and the like
 * are not counted. One meter at a time; and since V8 has one count, `vitest --coverage` sees nothing of a file of tests
 * that uses it.
 */
import { Session } from "node:inspector";

/** What a run took. */
export interface Work {
	/** Blocks run, and bytes gone through. */
	readonly units: number;
	/** Bytes of all arrays that were made anew, and of the largest one. */
	readonly allocated: number;
	readonly largest: number;
}

/** Counts the work of the files whose URLs have one of these parts in them. */
export class Meter {
	readonly #parts: readonly string[];
	readonly #session = new Session();
	#bytes = 0;
	#allocated = 0;
	#largest = 0;

	constructor(parts: readonly string[]) {
		this.#parts = parts;
		this.#session.connect();
		this.#post("Profiler.enable");
		this.#post("Profiler.startPreciseCoverage", { callCount: true, detailed: true });
	}

	/** What `run` takes. Nothing else may run meanwhile. */
	async measure(run: () => unknown): Promise<Work> {
		[this.#bytes, this.#allocated, this.#largest] = [0, 0, 0];
		this.#blocks(); // those before do not count
		const restore = this.#watch();
		try {
			await run();
		} finally {
			restore();
		}
		return {
			units: this.#blocks() + this.#bytes,
			allocated: this.#allocated,
			largest: this.#largest,
		};
	}

	close(): void {
		this.#session.disconnect();
	}

	/** The blocks run since the last call. */
	#blocks(): number {
		const { result } = this.#post("Profiler.takePreciseCoverage") as Coverage;
		let blocks = 0;
		for (const { url, functions } of result) {
			if (!this.#parts.some((part) => url.includes(part))) continue;
			for (const { ranges } of functions) for (const { count } of ranges) blocks += count;
		}
		return blocks;
	}

	#watch(): () => void {
		const undo: (() => void)[] = [];
		for (const [owner, name, price] of GOING_THROUGH) {
			const methods = owner as Record<string, (...parameters: unknown[]) => unknown>;
			const original = methods[name] as (...parameters: unknown[]) => unknown;
			const meter = this;
			const own = Object.getOwnPropertyDescriptor(methods, name);
			methods[name] = function (this: Sized, ...parameters: unknown[]) {
				const result = original.apply(this, parameters);
				meter.#bytes += price(this, parameters, result);
				return result;
			};
			undo.push(() => {
				if (own === undefined) delete methods[name];
				else Object.defineProperty(methods, name, own);
			});
		}
		const array = globalThis.Uint8Array;
		globalThis.Uint8Array = new Proxy(array, {
			construct: (target, parameters, newTarget) => {
				const made = Reflect.construct(target, parameters, newTarget) as Uint8Array;
				if (!(parameters[0] instanceof ArrayBuffer)) {
					this.#bytes += made.length;
					this.#allocated += made.length;
					this.#largest = Math.max(this.#largest, made.length);
				}
				return made;
			},
		});
		undo.push(() => {
			globalThis.Uint8Array = array;
		});
		return () => {
			for (const restore of undo) restore();
		};
	}

	/** The inspector of one's own thread answers at once. */
	#post(method: string, parameters: object = {}): unknown {
		let answer: unknown;
		this.#session.post(method, parameters, (error, result) => {
			if (error !== null) throw error;
			answer = result;
		});
		return answer;
	}
}

interface Coverage {
	readonly result: readonly {
		readonly url: string;
		readonly functions: readonly { readonly ranges: readonly { readonly count: number }[] }[];
	}[];
}

interface Sized {
	readonly length: number;
}

type Price = (object: Sized, parameters: readonly unknown[], result: unknown) => number;

const given: Price = (_, [source]) => (source as Sized).length;
const whole: Price = ({ length }) => length;
const made: Price = (_object, _parameters, result) => (result as Sized).length;
/** How far a search came. */
const searched: Price = ({ length }, [, from], result) =>
	Math.max(
		0,
		((result as number) === -1 ? length : (result as number) + 1) - (typeof from === "number" ? from : 0),
	);

const bytes = Object.getPrototypeOf(Uint8Array.prototype) as object;
const GOING_THROUGH: readonly (readonly [owner: object, name: string, price: Price])[] = [
	[bytes, "set", given],
	[bytes, "slice", made],
	[bytes, "fill", whole],
	[bytes, "indexOf", searched],
	[Buffer.prototype, "indexOf", searched],
	[Buffer.prototype, "toString", made],
	[Buffer, "concat", made],
	[TextDecoder.prototype, "decode", made],
	[String.prototype, "indexOf", searched],
	[String.prototype, "slice", made],
	[String.prototype, "split", whole],
	[String.prototype, "replace", whole],
];

import { describe, expect, test } from "vitest";
import { onlyOptions, textOption, wholeNumberOption, withDefaults } from "../../src/protocol/options.js";

describe("withDefaults", () => {
	const defaults = { messageBytes: 100, recipients: 10, idle: 1000 };

	test("takes what is given, and the defaults of the rest", () => {
		expect(withDefaults("limits", defaults, { recipients: 3, idle: Infinity })).toEqual({
			messageBytes: 100,
			recipients: 3,
			idle: Infinity,
		});
		expect(withDefaults("limits", defaults)).toEqual(defaults);
	});

	test("undefined is not given", () => {
		expect(withDefaults("limits", defaults, { idle: undefined as unknown as number })).toEqual(defaults);
	});

	test("changes neither the defaults nor what is given", () => {
		const given = Object.freeze({ recipients: 3 });
		withDefaults("limits", Object.freeze({ ...defaults }), given);
		expect(given).toEqual({ recipients: 3 });
	});

	test("only a size may be 0", () => {
		expect(withDefaults("limits", defaults, { messageBytes: 0 }).messageBytes).toBe(0);
		expect(() => withDefaults("limits", defaults, { recipients: 0 })).toThrow(
			expect.objectContaining({ code: "ERR_QMTP_OPTION", name: "UsageError" }),
		);
	});

	test.each([-1, Number.NaN, "5", null, {}])("%j is no number of anything", (value) => {
		expect(() => withDefaults("limits", defaults, { recipients: value as number })).toThrow(
			expect.objectContaining({
				code: "ERR_QMTP_OPTION",
				message: expect.stringContaining("limits.recipients"),
			}),
		);
	});

	test("a name that is not among the defaults is refused", () => {
		expect(() => withDefaults("timeouts", defaults, { idel: 5 } as Partial<typeof defaults>)).toThrow(
			expect.objectContaining({
				code: "ERR_QMTP_OPTION",
				message: expect.stringContaining("timeouts.idel"),
			}),
		);
	});
});

describe("onlyOptions", () => {
	test("refuses an option that does not exist, and passes over one that asks for nothing", () => {
		expect(() => onlyOptions({ queue: 1, tsl: {} }, ["queue", "tls"])).toThrow(
			expect.objectContaining({ code: "ERR_QMTP_OPTION", message: "there is no option tsl" }),
		);
		for (const tsl of [undefined, null, false]) {
			expect(() => onlyOptions({ queue: 1, tsl }, ["queue", "tls"])).not.toThrow();
		}
	});
});

describe("wholeNumberOption", () => {
	test("takes the ends of its range and what is between, and nothing else", () => {
		for (const value of [1, 5, 9]) expect(wholeNumberOption("n", value, 1, 9)).toBe(value);
		for (const value of [0, 10, 1.5, Number.NaN, Infinity, "3", null]) {
			expect(() => wholeNumberOption("n", value as number, 1, 9)).toThrow(
				"n must be a whole number from 1 to 9",
			);
		}
		expect(() => wholeNumberOption("n", -1, 0)).toThrow("n must be a whole number from 0 on, not -1");
	});
});

describe("textOption", () => {
	test("takes a text that is there", () => {
		expect(textOption("name", "x")).toBe("x");
		for (const value of ["", "a\0b", undefined, 3]) {
			expect(() => textOption("name", value as string)).toThrow("name must be a text that is neither empty");
		}
	});
});

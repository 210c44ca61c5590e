import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { portFor, protocolFor, qmtpPreference } from "../../src/routing/mxps.js";

describe("the preferences of MXPS", () => {
	test("those of QMTP are 12801, 12817 and so on up to 13041, and no others", () => {
		const announced = Array.from({ length: 65536 }, (_, preference) => preference).filter(
			(preference) => protocolFor(preference) === "qmtp",
		);
		expect(announced).toEqual(Array.from({ length: 16 }, (_, priority) => 12801 + 16 * priority));
		expect(announced).toEqual(Array.from({ length: 16 }, (_, priority) => qmtpPreference(priority)));
		expect(announced.at(-1)).toBe(13041);
	});

	test("SMTP is for the other protocols of MXPS, for the ranges beside it, and for what is no preference", () => {
		for (const preference of [0, 1, 10, 257, 12785, 12800, 12802, 12816, 13040, 13055, 13057, 78337]) {
			expect(protocolFor(preference)).toBe("smtp");
		}
		for (const preference of [12801.5, -12801, Number.NaN, Number.POSITIVE_INFINITY]) {
			expect(protocolFor(preference)).toBe("smtp");
		}
	});

	test("a priority that is no whole number from 0 to 15 is refused", () => {
		const wrong = fc.oneof(
			fc.integer({ max: -1 }),
			fc.integer({ min: 16 }),
			fc.double().filter((number) => !Number.isInteger(number)),
		);
		fc.assert(
			fc.property(wrong, (priority) => {
				expect(() => qmtpPreference(priority)).toThrow(
					expect.objectContaining({ name: "UsageError", code: "ERR_QMTP_OPTION" }),
				);
			}),
		);
	});

	test("QMTP is on port 209, and SMTP on port 25", () => {
		expect([portFor("qmtp"), portFor("smtp")]).toEqual([209, 25]);
	});
});

import { describe, expect, test } from "vitest";
import {
	accepted,
	deferred,
	encodeResponses,
	type QmtpResponse,
	rejected,
} from "../../src/protocol/response.js";

describe("accepted, deferred and rejected", () => {
	test("have their letters and their descriptions", () => {
		expect(accepted("queued as 17")).toEqual({ status: "K", description: "queued as 17" });
		expect(deferred("busy (#4.3.2)")).toEqual({ status: "Z", description: "busy (#4.3.2)" });
		expect(rejected("no such mailbox (#5.1.1)")).toEqual({
			status: "D",
			description: "no such mailbox (#5.1.1)",
		});
	});

	test("have descriptions of their own", () => {
		expect(accepted()).toEqual({ status: "K", description: "ok" });
		expect(deferred()).toEqual({ status: "Z", description: "temporary failure (#4.3.0)" });
		expect(rejected()).toEqual({ status: "D", description: "permanent failure (#5.3.0)" });
	});

	test.each([
		["control characters become spaces", "a\r\nb\tc\0d\x7fe\x1bf", "a  b c d e f"],
		["so do those of Latin-1", "a\x85b\x9bc", "a b c"],
		["a # that starts no code becomes a space", "ticket #17 is # 1", "ticket  17 is   1"],
		["a # in front of a code stays", "(#5.1.1) #4.30.0, #5.7.123", "(#5.1.1) #4.30.0, #5.7.123"],
		["a # in front of half a code does not", "#5.1 #5.1. #5 #.1.1 #55.1.1", " 5.1  5.1.  5  .1.1  55.1.1"],
		["only the last of two # starts the code", "##5.1.1", " #5.1.1"],
		["other characters stay", "größer’s 😀 \u2028", "größer’s 😀 \u2028"],
		["an empty description stays empty", "", ""],
	])("%s", (_, description, cleaned) => {
		for (const make of [accepted, deferred, rejected]) expect(make(description).description).toBe(cleaned);
	});

	test("clean one description like the next: nothing is remembered between", () => {
		for (let round = 0; round < 3; round++) expect(rejected("a\nb #1").description).toBe("a b  1");
	});
});

describe("encodeResponses", () => {
	const text = (responses: readonly QmtpResponse[]) => Buffer.from(encodeResponses(responses)).toString();

	test("encodes each as a netstring, one behind the other", () => {
		expect(text([accepted("ok"), rejected("no (#5.1.1)"), { status: "Z", description: "" }])).toBe(
			"3:Kok,12:Dno (#5.1.1),1:Z,",
		);
	});

	test("encodes no responses as no bytes", () => {
		expect(encodeResponses([])).toHaveLength(0);
	});

	test("counts the bytes of descriptions that are not ASCII", () => {
		expect(text([accepted("ok"), rejected("gibt’s nicht"), deferred("spöter 😀")])).toBe(
			"3:Kok,15:Dgibt’s nicht,13:Zspöter 😀,",
		);
	});

	test("does not clean: what it is given is what it encodes", () => {
		expect(text([{ status: "D", description: "a\nb, #1" }])).toBe("8:Da\nb, #1,");
	});

	test("half a surrogate pair becomes U+FFFD, and is counted as that", () => {
		expect(text([{ status: "D", description: "\ud800" }])).toBe("4:D\ufffd,");
	});
});

/** `qmtp probe` against mailfront, set up as it should be and not. */
import { expect, onTestFinished, test } from "vitest";
import { MAILFRONT_PROGRAMS, type Mailfront, startMailfront } from "../support/client-mailfront.js";
import { describeWithPrograms } from "../support/peers.js";
import { type Finished, run } from "../support/program.js";

describeWithPrograms("qmtp probe and mailfront", MAILFRONT_PROGRAMS, suite);

function suite(): void {
	async function mailfront(environment: Readonly<Record<string, string>> = {}): Promise<Mailfront> {
		const started = await startMailfront(environment);
		onTestFinished(() => started.stop());
		return started;
	}

	function probe({ port }: Mailfront, args: readonly string[], wait = "50"): Promise<Finished> {
		return run(["probe", `127.0.0.1:${port}`, "--wait", wait, ...args]);
	}

	test("it takes the test message, and closes when the probe does", async () => {
		const { code, stdout, stderr } = await probe(await mailfront(), ["--recipient", "r@example.com"]);
		expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
		expect(stdout).toMatch(
			/\nsilent for 50 ms, .*\nK\tr@example\.com\tReceived \d+ bytes\.\t\d+\.\d ms\nclosed cleanly .*\n$/,
		);
	});

	test("its one answer to two recipients is shown, and that it was one", async () => {
		const args = ["--recipient", "r@example.com", "--recipient", "q@example.com", "--timeout", "1"];
		const { code, stdout, stderr } = await probe(await mailfront(), args);
		expect(code).toBe(111);
		expect(stdout).toMatch(/\nK\tr@example\.com\tReceived \d+ bytes\.\t\d+\.\d ms\n$/);
		expect(stderr).toMatch(/^qmtp probe: 1 of 2 recipients got an answer within 1 s; .*\n$/);
	});

	test("what it says before it was sent anything, when it is not set up, is shown", async () => {
		const broken = await mailfront({ QMAILHOME: "/nowhere/at/all" });
		const { code, stdout, stderr } = await probe(broken, ["--recipient", "r@example.com"], "60000");
		expect(code).toBe(111);
		expect(stdout).toMatch(
			/\nnot silent, a response: Z\t4\.3\.0 Could not change to the qmail directory\.\n$/,
		);
		expect(stderr).toMatch(/^qmtp probe: \S+ gave a response before it was sent anything; .*\n$/);
	});
}

/** Without nodemailer there is no SMTP: who is reached by QMTP gets the mail, the others wait. */
import { expect, test, vi } from "vitest";
import { noUnhandledRejections } from "../support/client-rejections.js";
import { freshAddress, outcomes, qmtpHost, routed, routerFor, smtpHost } from "../support/router-hosts.js";

noUnhandledRejections();

vi.mock("nodemailer/lib/smtp-connection", () => {
	throw new Error("Cannot find package 'nodemailer'");
});

test("recipients by SMTP are a Z that says so, and those by QMTP keep their K", async () => {
	const [one, two] = [freshAddress(), freshAddress()];
	const [qmtp, smtp] = [await qmtpHost(one), await smtpHost(two, {})];
	const { router } = routerFor({
		mx: { "q.example": ["12801 a"], "s.example": ["10 b"] },
		addresses: { a: [one], b: [two] },
	});
	const result = await router.deliver(routed({ recipients: ["s@s.example", "q@q.example", "t@s.example"] }));
	expect(outcomes(result)).toEqual([
		`Z ERR_QMTP_PACKAGE < smtp ${two} ERR_QMTP_PACKAGE`,
		`K qmtp ${one}`,
		`Z ERR_QMTP_PACKAGE < smtp ${two} ERR_QMTP_PACKAGE`,
	]);
	expect(result.responses[0]).toMatchObject({
		description: "Sorry, I am not set up to speak SMTP. (#4.3.5)",
		possiblyAccepted: false,
	});
	expect(qmtp.mail).toHaveLength(1);
	expect(smtp.messages).toEqual([]);
});

test("the next address or exchange may take it by QMTP", async () => {
	const [dead, good] = [freshAddress(), freshAddress()];
	await qmtpHost(good);
	const { router } = routerFor({
		mx: { "a.example": ["12801 a"], "b.example": ["10 b", "12801 a"] },
		addresses: { a: [dead, good], b: [dead] },
	});
	const [first, second] = outcomes(
		await router.deliver(routed({ recipients: ["a@a.example", "b@b.example"] })),
	);
	expect(first).toBe(`K qmtp ${good} < qmtp ${dead} ERR_QMTP_CONNECT < smtp ${dead} ERR_QMTP_PACKAGE`);
	expect(second).toMatch(/^K qmtp /);
});

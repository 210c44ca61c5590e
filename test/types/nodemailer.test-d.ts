import { createTransport, type Mail, type NodemailerError, type Transport } from "nodemailer";
import { expectAssignable, expectError, expectType } from "tsd";
import {
	type QmtpDeliverer,
	type QmtpMailError,
	type QmtpSentMessageInfo,
	qmtpTransport,
} from "../../dist/gateway/nodemailer.js";

const transport = qmtpTransport({ host: "mail.example.com", pool: true, maxConnections: 2, logger: console });
expectAssignable<Transport<QmtpSentMessageInfo>>(transport);
expectType<Promise<true>>(transport.verify());
expectType<Promise<void>>(transport.close({ force: true }));
expectError(qmtpTransport({ hots: "mail.example.com" }));
expectError(qmtpTransport({ router: {} }));

const mailer = createTransport(transport);
expectAssignable<Mail<QmtpSentMessageInfo>>(mailer);
const info = await mailer.sendMail({ to: "you@example.com" });
expectType<string[]>(info.accepted);
expectType<string[]>(info.pending);
expectType<string>(info.response);
expectType<QmtpMailError[]>(info.rejectedErrors);
expectAssignable<NodemailerError>(info.rejectedErrors[0] as QmtpMailError);

expectAssignable<QmtpDeliverer>({
	deliver: async ({ recipients }: { recipients: readonly string[] }) => ({
		responses: recipients.map((recipient) => ({ recipient, status: "K" as const, description: "ok" })),
	}),
});

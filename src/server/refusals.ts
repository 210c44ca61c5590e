/** What a server says when it refuses. The texts are qmail-qmtpd's where it has one: log readers know them. */
import { deferred, type QmtpResponse, rejected } from "../protocol/response.js";

export const TOO_LARGE: QmtpResponse = rejected(
	"sorry, that message size exceeds my databytes limit (#5.3.4)",
);
export const NOT_MY_DOMAIN: QmtpResponse = rejected(
	"sorry, that domain isn't in my list of allowed rcpthosts (#5.7.1)",
);

export const TOO_MANY_RECIPIENTS: QmtpResponse = deferred(
	"sorry, too many recipients in one package (#4.5.3)",
);
export const FAULT: QmtpResponse = deferred("temporary failure (#4.3.0)");
export const NOT_AUTHORIZED: QmtpResponse = deferred("temporary failure of authorization (#4.3.0)");
export const COMMIT_TIMEOUT: QmtpResponse = deferred("the message was not stored in time (#4.3.0)");
export const NOT_ANSWERED: QmtpResponse = deferred(
	"the queue did not say what became of the message (#4.3.0)",
);
export const NOT_STORED: QmtpResponse = deferred("the message was not stored (#4.3.0)");

/** Refusals of addresses, which more than one place says. The texts are qmail-qmtpd's: log readers know them. */
import { type QmtpResponse, rejected } from "./response.js";

/** For all recipients of a sender that cannot be taken. */
export const BAD_SENDER: QmtpResponse = rejected("unacceptable sender (#5.1.7)");
/** For a recipient that cannot be taken. */
export const BAD_RECIPIENT: QmtpResponse = rejected("sorry, I can't handle that recipient (#5.1.3)");

/** What a client may do, from what the `authorize` hook said. */
import type { Access, AccessRights } from "../protocol/peer.js";

/** The rights that `access` gives, or null if the client may not talk. */
export function rightsOf(access: Access | undefined): AccessRights | null {
	if (access === true) return NO_RIGHTS;
	// What is neither true nor rights lets nobody in, whatever a hook without types may return.
	return typeof access === "object" && access !== null ? access : null;
}

/** What is appended to the recipients of a client with these rights. */
export function relaySuffix({ relay, suffix }: AccessRights): string {
	return relay === true && suffix !== undefined ? suffix : "";
}

/** Those of a client of whom nothing is known. */
export const NO_RIGHTS: AccessRights = {};

/**
 * Where the doors of `qmtp serve` listen: on ports, on descriptors that were named on the command line, or on those of a
 * supervisor, which says by LISTEN_PID, LISTEN_FDS and LISTEN_FDNAMES that it hands some over.
 *
 * Source: sd_listen_fds(3)
 */
import type { ListenTarget } from "../../server/listening.js";
import { type Arguments, WrongUse, wholeNumber } from "../command.js";

/** The doors for mail, in the order in which descriptors without names are given to them. */
export const DOORS = ["qmtp", "qmtps", "smtp"] as const;
export type DoorName = (typeof DOORS)[number];

/** Where each door listens; a door that there is not listens nowhere. */
export type DoorTargets = Readonly<Record<DoorName, readonly ListenTarget[]>>;

/** The variables of a supervisor. */
export interface Activation {
	readonly LISTEN_PID?: string | undefined;
	readonly LISTEN_FDS?: string | undefined;
	readonly LISTEN_FDNAMES?: string | undefined;
}

/** Takes the variables out of the environment: they are for this process, and not for those that it starts. */
export function takeActivation(): Activation {
	const { LISTEN_PID, LISTEN_FDS, LISTEN_FDNAMES } = process.env;
	for (const name of ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"]) delete process.env[name];
	return { LISTEN_PID, LISTEN_FDS, LISTEN_FDNAMES };
}

/**
 * Where the doors listen.
 *
 * @param hasTls - There are certificates.
 * @throws WrongUse.
 */
export function doorTargets(args: Arguments, activation: Activation, hasTls: boolean): DoorTargets {
	const ports = {
		qmtp: wholeNumber(args, "port", 0, 65535),
		qmtps: wholeNumber(args, "tls-port", 0, 65535),
		smtp: wholeNumber(args, "smtp-port", 0, 65535),
	};
	const named = {
		qmtp: descriptor(args, "fd", "port"),
		qmtps: descriptor(args, "tls-fd", "tls-port"),
		smtp: descriptor(args, "smtp-fd", "smtp-port"),
	};
	const given = Object.values(named).flat();
	if (new Set(given).size < given.length) throw new WrongUse("two doors cannot have the same descriptor");
	const hasSmtp = ports.smtp !== undefined || named.smtp.length > 0;
	const isOn = { qmtp: true, qmtps: hasTls, smtp: hasSmtp };
	const handed = handedDescriptors(activation, isOn);
	if (handed !== null && given.length > 0) {
		throw new WrongUse(
			"--fd, --tls-fd and --smtp-fd are not for a server that gets its sockets by LISTEN_FDS",
		);
	}
	const host = args.one("host") ?? "127.0.0.1";
	const targets = (door: DoorName, port: number): readonly ListenTarget[] => {
		const descriptors = handed?.[door] ?? named[door];
		if (descriptors.length > 0) return descriptors.map((fd) => ({ fd }));
		return isOn[door] ? [{ host, port: ports[door] ?? port }] : [];
	};
	const all = { qmtp: targets("qmtp", 2209), qmtps: targets("qmtps", 6209), smtp: targets("smtp", 0) };
	if (all.smtp.length > 1) throw new WrongUse("LISTEN_FDS has two descriptors for SMTP, which has one door");
	return all;
}

function descriptor(args: Arguments, name: string, port: string): readonly number[] {
	const fd = wholeNumber(args, name, 0, LARGEST_DESCRIPTOR);
	if (fd === undefined) return [];
	if (args.one(port) !== undefined) throw new WrongUse(`--${name} goes in place of --${port}`);
	return [fd];
}

/** What a supervisor hands over; null if it is nothing. */
function handedDescriptors(
	{ LISTEN_PID, LISTEN_FDS, LISTEN_FDNAMES }: Activation,
	isOn: Readonly<Record<DoorName, boolean>>,
): Readonly<Record<DoorName, readonly number[]>> | null {
	if (LISTEN_PID === undefined || LISTEN_FDS === undefined) return null;
	if (!/^[1-9]\d*$/.test(LISTEN_PID)) {
		throw new WrongUse(`LISTEN_PID must be the number of a process, not '${LISTEN_PID}'`);
	}
	if (Number(LISTEN_PID) !== process.pid) return null; // they are for somebody else, who has passed them on
	const count = /^\d+$/.test(LISTEN_FDS) ? Number(LISTEN_FDS) : Number.NaN;
	if (!(count <= MOST_DESCRIPTORS)) {
		throw new WrongUse(
			`LISTEN_FDS must be a whole number from 0 to ${MOST_DESCRIPTORS}, not '${LISTEN_FDS}'`,
		);
	}
	if (count === 0) return null;
	const doors = doorsByName(LISTEN_FDNAMES, count) ?? DOORS.filter((door) => isOn[door]);
	if (doors.length < count) {
		throw new WrongUse(`LISTEN_FDS has ${count} descriptors without names, for ${doors.length} doors`);
	}
	if (doors.includes("qmtps") && !isOn.qmtps) {
		throw new WrongUse("LISTEN_FDNAMES has a descriptor for qmtps, which needs --tls-cert and --tls-key");
	}
	const of = (door: DoorName) =>
		Array.from({ length: count }, (_, index) => FIRST_DESCRIPTOR + index).filter(
			(_, index) => doors[index] === door,
		);
	return { qmtp: of("qmtp"), qmtps: of("qmtps"), smtp: of("smtp") };
}

/** For each descriptor its door; null if no name is one of a door: systemd calls them after their units, if nothing else. */
function doorsByName(text: string | undefined, count: number): readonly DoorName[] | null {
	if (text === undefined) return null;
	const names = text.split(":").map((name) => name.replace(/\.socket$/, ""));
	if (names.length !== count) {
		throw new WrongUse(`LISTEN_FDNAMES has ${names.length} names for ${count} descriptors of LISTEN_FDS`);
	}
	const unknown = names.filter((name) => !(DOORS as readonly string[]).includes(name));
	if (unknown.length === names.length) return null;
	if (unknown.length > 0) {
		throw new WrongUse(
			`LISTEN_FDNAMES may have the names ${DOORS.join(", ")}, and not '${unknown[0]}' beside them`,
		);
	}
	return names as DoorName[];
}

const FIRST_DESCRIPTOR = 3;
const MOST_DESCRIPTORS = 64;
const LARGEST_DESCRIPTOR = 65_535;

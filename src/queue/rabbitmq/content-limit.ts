/**
 * Leaves out the bodies of messages that are too large while they come in. amqplib puts a body together before it tells of
 * the message, and the broker may have much larger ones than we ever wrote. This takes its frames before it does; that is
 * no public way, so a test holds it against the installed release.
 */
import type { Channel, ConsumeMessage } from "amqplib";

/** A frame, as amqplib decodes it. */
interface Frame {
	readonly id?: number; // undefined: a part of a body
	readonly size?: number; // of the body, as declared with the properties
	readonly fields?: object;
	readonly content?: Buffer;
}

/**
 * Gives messages with a larger body than `most()` an empty one.
 *
 * @param most - Asked for each message as it begins.
 */
export function limitContent(channel: Channel, most: () => number): void {
	const inner = channel as unknown as { accept(frame: Frame): void };
	const accept = inner.accept.bind(channel);
	let skip = 0; // bytes
	inner.accept = (frame) => {
		if (frame.id === undefined && skip > 0) {
			skip -= frame.content?.length ?? 0;
			return;
		}
		if (frame.id === BASIC_PROPERTIES && (frame.size as number) > most()) {
			skip = frame.size as number;
			skipped.set(frame.fields as object, skip); // they become the message's properties
			accept({ ...frame, size: 0 });
			return;
		}
		accept(frame);
	};
}

/** The bytes of a body that was left out; 0 if it was not. */
export function skippedBytes({ properties }: ConsumeMessage): number {
	return skipped.get(properties) ?? 0;
}

const skipped = new WeakMap<object, number>();
const BASIC_PROPERTIES = 60;

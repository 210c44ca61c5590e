/** The order of packages that wait, against an array that does the same the slow way. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { OutgoingMessage, type OutgoingPackage } from "../../src/client/outgoing.js";
import { PackageQueue } from "../../src/client/package-queue.js";

function make(): OutgoingPackage {
	return new OutgoingMessage("s@example.org", ["r@example.com"], "utf-8").whole;
}

test("any pushes, unshifts and shifts", () => {
	const step = fc.oneof(
		fc.record({ kind: fc.constantFrom("push", "unshift"), count: fc.nat(5) }),
		fc.record({ kind: fc.constantFrom("shift", "shift", "settle", "clear"), count: fc.nat(10) }),
	);
	const property = fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
		const queue = new PackageQueue();
		let model: OutgoingPackage[] = [];
		for (const { kind, count } of steps) {
			const packages = Array.from({ length: count }, make);
			if (kind === "push") {
				queue.push(packages);
				model.push(...packages);
			} else if (kind === "unshift") {
				queue.unshift(packages);
				model.unshift(...packages);
			} else if (kind === "settle") {
				model[count]?.outgoing.reject(new Error("given up"));
			} else if (kind === "clear" && count === 0) {
				expect(queue.clear().filter(({ outgoing }) => !outgoing.settled)).toEqual(model.filter(waits));
				model = [];
			} else if (queue.first() !== undefined) {
				model = model.filter(waits);
				model.shift();
				queue.shift();
			}
			expect(queue.first()).toBe(model.find(waits));
		}
	});
	fc.assert(property, { numRuns: 200 });
});

function waits({ outgoing }: OutgoingPackage): boolean {
	return !outgoing.settled;
}

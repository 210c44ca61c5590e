/**
 * The type tests: what a user of the package sees, checked by tsd, with an older TypeScript than ours, against the
 * declaration files in dist.
 */
import { expectType } from "tsd";

const one: number = 1;
expectType<number>(one);

/** A rule that holds whenever the platform is quiet. */
import type { Model } from "../model/model.ts";
import type { Observation } from "./observation.ts";

export interface Validator {
  readonly name: string;
  /** What is wrong, one line each. Pure: no clock, no files, no network. */
  check(observation: Observation, model: Model): readonly string[];
}

/** Compares two sets of names. */
export function differences(
  [leftName, left]: readonly [string, Iterable<string>],
  [rightName, right]: readonly [string, Iterable<string>],
): string[] {
  const [first, second] = [new Set(left), new Set(right)];
  return [
    ...[...first].filter((name) => !second.has(name)).map((name) => `${name}: ${leftName}, but not ${rightName}`),
    ...[...second].filter((name) => !first.has(name)).map((name) => `${name}: ${rightName}, but not ${leftName}`),
  ];
}

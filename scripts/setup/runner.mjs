/** Says what is missing, then supplies it, step by step. */
import { SetupFailure } from "./failure.mjs";
import { takeLock } from "./lock.mjs";
import { showProgress } from "./progress.mjs";

/**
 * @typedef {object} Step
 * @property {string} name
 * @property {() => string | null} needed why there is something to do; null when there is not. Milliseconds at most.
 * @property {() => readonly string[]} plan what will be installed or built, for people; asked only when needed
 * @property {(progress: (line: string) => void) => Promise<void>} run
 */

/**
 * @param {readonly Step[]} steps in the order in which one may need what another made
 * @throws {SetupFailure} with the property `step`
 */
export async function runSteps(steps) {
  if (missing(steps).length === 0) return;
  const release = await takeLock(() => console.log("Another set-up is running; waiting for it to end."));
  try {
    // Again, as the other may have done it all.
    const todo = missing(steps);
    if (todo.length === 0) return;
    console.log("Caisson needs the following first:");
    for (const { step, reason } of todo) {
      console.log(`  ${step.name}: ${reason}`);
      for (const line of step.plan()) console.log(`      ${line}`);
    }
    console.log("");
    for (const { step } of todo) await runStep(step);
    console.log("");
  } finally {
    release();
  }
}

/** @param {readonly Step[]} steps */
function missing(steps) {
  return steps.flatMap((step) => {
    const reason = inStep(step, () => step.needed());
    return reason === null ? [] : [{ step, reason }];
  });
}

/** @param {Step} step */
async function runStep(step) {
  const progress = showProgress(step.name);
  try {
    await step.run((line) => progress.line(line));
    progress.end("done");
  } catch (error) {
    progress.end("failed");
    throw named(step, error);
  }
}

/** @template T @param {Step} step @param {() => T} work @returns {T} */
function inStep(step, work) {
  try {
    return work();
  } catch (error) {
    throw named(step, error);
  }
}

/** @param {Step} step @param {unknown} error */
function named(step, error) {
  const failure =
    error instanceof SetupFailure
      ? error
      : new SetupFailure(
          error instanceof Error ? (error.stack ?? error.message) : String(error),
          "This is a defect of the set-up: please report it.",
        );
  return Object.assign(failure, { step: step.name });
}

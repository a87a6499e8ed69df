/**
 * One round: real work, faults at random moments, everything mended, work again, and then quiet, in which every invariant must come to
 * hold. Progress extends the deadline, so that slow is not taken for stuck.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { until } from "@caisson/testing";
import type { Fault, Injected } from "./faults/fault.ts";
import type { Random } from "./random.ts";
import { Safety } from "./safety.ts";
import { callDeadline } from "./traffic/messages.ts";
import { judge } from "./validators/index.ts";
import type { Observation } from "./validators/observation.ts";
import { observe } from "./world/observe.ts";
import { observeDeep } from "./world/observe-deep.ts";
import type { World } from "./world/world.ts";

/** Calls with an answer, before the first fault and after the last was mended. Fewer, and the round has shown nothing. */
const leastTraffic = 5;
/** Milliseconds that clients have for it. */
const trafficDeadline = 30_000;
/** Milliseconds without progress. */
const patience = 15_000;
/** Milliseconds in all. */
const longest = 60_000;

export interface RoundResult {
  readonly faults: readonly string[];
  readonly problems: readonly string[];
  readonly observation: Observation | undefined;
  readonly calls: { readonly ok: number; readonly failed: number };
}

export async function runRound(world: World, faults: readonly Fault[], random: Random): Promise<RoundResult> {
  const { model } = world.history;
  const before = { ...model.counts };
  const problems: string[] = [];
  let observation: Observation | undefined;
  try {
    await phases(world, faults, random, problems);
    const quiet = await converge(world, random);
    ({ observation } = quiet);
    problems.push(...quiet.problems);
  } catch (error) {
    problems.push(`round: ${String(error)}`);
    observation = await observe(world).catch(() => undefined);
  }
  const calls = { ok: model.counts.ok - before.ok, failed: model.counts.failed - before.failed };
  return { faults: faults.map(({ name }) => name), problems, observation, calls };
}

async function phases(world: World, faults: readonly Fault[], random: Random, problems: string[]): Promise<void> {
  const { crew, history } = world;
  await crew.begin(`${random.next()}`, { ...world.env });
  await traffic(world, "before the fault");
  await sleep(random.int(0, 400));
  const safety = new Safety(world, faults);
  const injected: [Fault, Injected][] = [];
  try {
    for (const fault of faults) {
      const done = await fault.inject(world, random.fork(fault.name));
      injected.push([fault, done]);
      history.add({ type: "fault", name: fault.name, detail: done.detail });
      problems.push(...(done.problems ?? []).map((problem) => `${fault.name}: ${problem}`));
    }
    await sleep(Math.max(...faults.map(({ hold: [low, high] }) => random.int(low, high))));
  } finally {
    problems.push(...(await safety.stop()));
    for (const [{ name }, fault] of mendingOrder(injected)) {
      await fault.heal().catch((error: unknown) => problems.push(`${name}: could not be mended: ${String(error)}`));
      history.add({ type: "healed", name, detail: "" });
    }
  }
  await world.ensureServer();
  await traffic(world, "after it was mended");
  await crew.pause(callDeadline + 5_000);
}

/** The last first, and those that wait for the server at the end: a machine must not stay stopped for as long as a start takes. */
function mendingOrder(injected: readonly [Fault, Injected][]): readonly [Fault, Injected][] {
  const starts = ([{ touches }]: [Fault, Injected]) => Number(touches.includes("start"));
  return injected.toReversed().toSorted((a, b) => starts(a) - starts(b));
}

async function traffic({ history }: World, when: string): Promise<void> {
  const start = history.model.counts.ok;
  await until(
    trafficDeadline,
    `${leastTraffic} calls with an answer ${when}`,
    () => history.model.counts.ok - start >= leastTraffic,
  );
}

async function converge(
  world: World,
  random: Random,
): Promise<{ problems: readonly string[]; observation: Observation }> {
  const { model } = world.history;
  const start = performance.now();
  let progress = start;
  let fewest = Number.POSITIVE_INFINITY;
  for (;;) {
    let observation = await observe(world);
    let problems = judge(observation, model);
    if (problems.length === 0) {
      observation = { ...observation, deep: await observeDeep(world, observation, random.fork("deep"), 0.5) };
      problems = judge(observation, model);
      // Looking inside changed what there is: once more from outside.
      if (problems.length === 0) return settled(world, observation);
    }
    const now = performance.now();
    if (problems.length < fewest) {
      fewest = problems.length;
      progress = now;
    }
    if (now - progress > patience || now - start > longest) return { problems, observation };
    await sleep(150);
  }
}

/** What was unknown is known now, and the counters' numbers are kept for the next round. */
function settled(
  { history }: World,
  observation: Observation,
): { problems: readonly string[]; observation: Observation } {
  const { model } = history;
  const running = new Map(
    observation.rows.sandboxes.filter(({ phase }) => phase === "running").map(({ label, id }) => [label, id]),
  );
  // A kill that nobody answered may be carried out after this.
  const ending = new Set(observation.machines.flatMap(({ ending: ends, machineId }) => (ends ? [machineId] : [])));
  for (const { label, belief, mustEnd } of model.sandboxes.values()) {
    const id = running.get(label) ?? null;
    if (id !== null && ending.has(id)) continue;
    if (belief === "unknown" || (belief === "present" && mustEnd !== undefined))
      history.add({ type: "resolved", kind: "sandbox", name: label, id });
  }
  for (const [kind, beliefs, rows] of [
    ["volume", model.volumes, observation.rows.volumes],
    ["snapshot", model.snapshots, observation.rows.snapshots],
  ] as const)
    for (const { slug, belief } of beliefs.values())
      if (belief === "unknown")
        history.add({
          type: "resolved",
          kind,
          name: slug,
          id: rows.find((row) => row.slug === slug && row.state === "ready")?.id ?? null,
        });
  for (const [label, numbers] of Object.entries(observation.deep?.counters ?? {}))
    if (typeof numbers !== "string") history.add({ type: "counted", sandbox: label, value: numbers[1] });
  return { problems: [], observation };
}

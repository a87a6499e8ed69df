/** Many rounds on one installation. After a round that failed a new one is made, so that one defect does not hide the next. */
import { mkdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { faults as all } from "./faults/index.ts";
import type { Fault } from "./faults/fault.ts";
import { Random } from "./random.ts";
import { keepRound } from "./report/folder.ts";
import { runRound } from "./round.ts";
import { World } from "./world/world.ts";

export interface RunOptions {
  readonly rounds: number;
  readonly seed: string;
  /** Number of the first round: a round is repeated by it. */
  readonly from?: number;
  /** Names of faults, or beginnings of names. Default: all. */
  readonly only?: readonly string[];
  /** The homes of failing rounds stay. */
  readonly keep?: boolean;
}

export interface Verdict {
  readonly round: number;
  readonly faults: readonly string[];
  readonly seconds: number;
  readonly calls: { readonly ok: number; readonly failed: number };
  readonly problems: readonly string[];
  /** Of a failing round. */
  readonly folder: string | undefined;
}

/** @param report gets each round when it is over */
export async function run(options: RunOptions, report: (verdict: Verdict) => void): Promise<void> {
  const { rounds, seed, from = 1, only = [""], keep = false } = options;
  const folder = join(tmpdir(), "caisson-chaos", seed.replaceAll(/[^\w-]/g, "_"));
  const chosen = all.filter(({ name }) => only.some((start) => name.startsWith(start)));
  if (chosen.length === 0)
    throw new Error(`No fault is called ${only.join(" or ")}. There are: ${all.map(({ name }) => name).join(", ")}.`);
  let world: World | undefined;
  let first = from;
  const end = async (broken: boolean) => {
    const problems = await world?.close({ keepHome: keep && broken });
    world = undefined;
    return broken ? [] : (problems ?? []);
  };
  try {
    for (let round = from; round < from + rounds; round++) {
      const random = new Random(`${seed}/${round}`);
      if (world === undefined) {
        first = round;
        mkdirSync(folder, { recursive: true });
        world = await World.create({
          folder: join(folder, `from-${round}-${Date.now()}`),
          clients: ["a", "b"],
          pool: random.fork("pool").chance(0.3) ? 1 : 0,
        });
      }
      world.history.add({ type: "round", round, seed });
      const start = performance.now();
      const result = await runRound(world, choose(chosen, world, random), random);
      const problems = [...result.problems];
      const last = round === from + rounds - 1;
      const place = problems.length > 0 ? keepRound(world, { round, first, seed, ...result }) : undefined;
      const seconds = (performance.now() - start) / 1000;
      if (problems.length > 0 || last)
        problems.push(...(await end(problems.length > 0)).map((problem) => `end: ${problem}`));
      report({ round, seconds, faults: result.faults, calls: result.calls, problems, folder: place });
    }
  } finally {
    await end(false);
  }
}

/** One fault, or two that do not act on the same. */
function choose(faults: readonly Fault[], world: World, random: Random): readonly Fault[] {
  const available = faults.filter((fault) => fault.available(world) === undefined);
  if (available.length === 0)
    throw new Error(
      `None of these faults can be injected here: ${faults.map((fault) => `${fault.name}: ${fault.available(world)}`).join("; ")}`,
    );
  const first = random.pick(available);
  const others = available.filter(({ touches }) => !touches.some((target) => first.touches.includes(target)));
  return others.length > 0 && random.chance(0.4) ? [first, random.pick(others)] : [first];
}

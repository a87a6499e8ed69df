/** The suite can fail: every invariant is broken on purpose, and the validator in charge finds it. */
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { until } from "@caisson/testing";
import { Random } from "../random.ts";
import { judge, validators } from "../validators/index.ts";
import { observe } from "../world/observe.ts";
import { observeDeep } from "../world/observe-deep.ts";
import { World } from "../world/world.ts";
import { Resident } from "./resident.ts";
import { sabotages, stage } from "./sabotages.ts";

let world: World;
let resident: Resident;
let folder: string;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), "caisson-sabotage-"));
  world = await World.create({ folder, clients: [] });
  resident = new Resident(world);
  const { sandbox, volume, file } = stage;
  await resident.call({ op: "create-volume", volume, from: null });
  await resident.call({ op: "create", sandbox, session: false, volumes: [volume] });
  await resident.call({ op: "count", sandbox });
  await resident.call({ op: "expose", sandbox });
  await resident.call({ op: "record", sandbox, volume, file });
});

after(async () => {
  await world.close();
  await rm(folder, { recursive: true, force: true });
});

async function problems(deep: boolean): Promise<readonly string[]> {
  const seen = await observe(world);
  const observation = deep ? { ...seen, deep: await observeDeep(world, seen, new Random("sabotage")) } : seen;
  return judge(observation, world.history.model);
}

test("nothing is wrong before", async () => {
  // The server measures and copies images in the background.
  await until(15_000, "an installation without problems", async () => (await problems(false)).length === 0, 200);
  assert.deepEqual(await problems(true), []);
});

for (const sabotage of sabotages) {
  const { validator, what, deep = false, available = true } = sabotage;
  test(`${validator} finds it: ${what}`, { skip: !available }, async () => {
    const undo = await sabotage.commit(world, resident);
    const found = await problems(deep);
    assert.ok(
      found.some((problem) => problem.startsWith(`${validator}: `)),
      `found only: ${found.join("\n") || "nothing"}`,
    );
    await undo();
  });
}

test("every validator has its sabotage", () => {
  const tried = new Set(sabotages.map(({ validator }) => validator));
  assert.deepEqual(
    validators.map(({ name }) => name).filter((name) => !tried.has(name)),
    [],
  );
});

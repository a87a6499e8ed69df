import assert from "node:assert/strict";
import { test } from "node:test";
import { planLayers, type PlannedLayer } from "./planner.ts";

const layer = (id: string, parent: string | null, over: Partial<PlannedLayer> = {}): PlannedLayer => ({
  id,
  parent,
  kind: "plain",
  state: "ready",
  sealed: 1,
  ...over,
});
const plan = (layers: PlannedLayer[], referenced: string[], written: string[] = [], maxDepth = 16) =>
  planLayers({ layers, referenced: new Set(referenced), written: new Set(written), maxDepth });

test("what nobody needs goes, from the top down to the first that is needed", () => {
  const layers = [layer("a", null), layer("b", "a"), layer("c", "b"), layer("d", "c")];
  assert.deepEqual(plan(layers, ["a", "b"]), { remove: ["d", "c"], collapse: [] });
  assert.deepEqual(plan(layers, []).remove, ["d", "c", "b", "a"]);
  assert.deepEqual(plan(layers, ["d", "b", "c", "a"]), { remove: [], collapse: [] });
});

test("a run of layers that only the next one needs is taken into that one", () => {
  const layers = [layer("a", null), layer("b", "a"), layer("c", "b"), layer("d", "c")];
  assert.deepEqual(plan(layers, ["a", "d"]).collapse, [{ layer: "d", onto: "a" }]);
  assert.deepEqual(plan(layers, ["d"]).collapse, [{ layer: "d", onto: null }]);
});

test("a layer that two others read stays", () => {
  const layers = [layer("a", null), layer("b", "a"), layer("c", "a")];
  assert.deepEqual(plan(layers, ["b", "c"]), { remove: [], collapse: [] });
});

test("built-in layers are no data of a volume and stay below", () => {
  const layers = [
    layer("base", null, { kind: "builtin" }),
    layer("a", "base", { kind: "root" }),
    layer("b", "a", { kind: "root" }),
  ];
  assert.deepEqual(plan(layers, ["b"]).collapse, [{ layer: "b", onto: "base" }]);
  assert.deepEqual(plan(layers, []).remove, ["b", "a", "base"]);
});

test("nothing moves under a machine that writes, and throw-away layers are never copied", () => {
  const layers = [layer("a", null), layer("b", "a"), layer("c", "b")];
  assert.deepEqual(plan(layers, ["c"], ["c"]), { remove: [], collapse: [] });
  assert.deepEqual(plan([layer("a", null), layer("e", "a", { kind: "ephemeral" })], ["e"]), {
    remove: [],
    collapse: [],
  });
});

test("a sealed layer that a running machine could still write is neither merged, nor merged onto, nor read for a merge", () => {
  const layers = [layer("a", null), layer("b", "a"), layer("c", "b"), layer("d", "c")];
  // "b" belongs to a deleted snapshot. It would be merged into "c".
  const merged = plan(layers, ["a", "c", "d"]).collapse;
  assert.deepEqual(merged, [{ layer: "c", onto: "a" }]);
  for (const held of ["a", "b", "c"]) assert.deepEqual(plan(layers, ["a", "c", "d"], [held]).collapse, [], held);
  const deep = Array.from({ length: 20 }, (_, index) => layer(`l${index}`, index === 0 ? null : `l${index - 1}`));
  const ids = deep.map(({ id }) => id);
  assert.equal(plan(deep, ids).collapse.length, 1);
  assert.deepEqual(plan(deep, ids, ["l3"]).collapse, []);
});

test("layers in between two states are left alone, and what is below them too", () => {
  for (const state of ["creating", "swapping", "removing"] as const) {
    const layers = [layer("a", null), layer("b", "a"), layer("c", "b", { state })];
    assert.deepEqual(plan(layers, []), { remove: [], collapse: [] }, state);
  }
});

test("of a chain that is too long the lowest layer beyond the limit becomes a bottom", () => {
  const layers = Array.from({ length: 40 }, (_, index) => layer(`l${index}`, index === 0 ? null : `l${index - 1}`));
  const ids = layers.map(({ id }) => id);
  assert.deepEqual(plan(layers, ids, [], 16).collapse, [{ layer: "l16", onto: null }]);
  const parents = new Map(layers.map(({ id, parent }) => [id, parent]));
  for (let step = 0; step < 10; step++) {
    const { collapse } = plan(
      layers.map((row) => ({ ...row, parent: parents.get(row.id)! })),
      ids,
      [],
      16,
    );
    if (collapse.length === 0) break;
    for (const { layer: id, onto } of collapse) parents.set(id, onto);
  }
  for (const id of ids) assert.ok(depth(parents, id) <= 16, `${id} has depth ${depth(parents, id)}`);
});

test("whatever the tree, no plan takes away what somebody reads", () => {
  const random = seeded(7);
  for (let round = 0; round < 300; round++) {
    const layers: PlannedLayer[] = [];
    for (let index = 0; index < 12; index++) {
      const parent = index === 0 || random() < 0.15 ? null : layers[Math.floor(random() * layers.length)]!.id;
      layers.push(
        layer(`l${index}`, parent, {
          kind: parent === null && random() < 0.3 ? "builtin" : "plain",
          state: random() < 0.1 ? "swapping" : "ready",
        }),
      );
    }
    const referenced = layers.filter(() => random() < 0.4).map(({ id }) => id);
    const written = referenced.filter(() => random() < 0.2);
    const { remove, collapse } = plan(layers, referenced, written, 4);
    const parents = new Map(layers.map(({ id, parent }) => [id, parent]));
    for (const id of [...referenced, ...layers.filter(({ state }) => state !== "ready").map((row) => row.id)]) {
      for (let at: string | null = id; at !== null; at = parents.get(at)!)
        assert.ok(!remove.includes(at), `round ${round}: ${at} is below ${id}`);
    }
    for (const { layer: id, onto } of collapse) {
      assert.ok(!written.includes(id), `round ${round}: ${id} is being written`);
      assert.ok(onto === null || isBelow(parents, id, onto), `round ${round}: ${onto} is not below ${id}`);
    }
  }
});

function depth(parents: ReadonlyMap<string, string | null>, id: string): number {
  const parent = parents.get(id) ?? null;
  return parent === null ? 1 : 1 + depth(parents, parent);
}

function isBelow(parents: ReadonlyMap<string, string | null>, id: string, other: string): boolean {
  const parent = parents.get(id) ?? null;
  return parent === other || (parent !== null && isBelow(parents, parent, other));
}

/** A small generator whose run can be repeated (mulberry32). */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** What may be expected after calls that were answered, failed, or were cut off. No installation. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Random } from "../random.ts";
import type { Call } from "../traffic/messages.ts";
import type { Happening } from "./events.ts";
import { Model, mustRun } from "./model.ts";

const client = "a";
const create = (sandbox: string, session = false): Call => ({ op: "create", sandbox, session, volumes: [] });

function modelOf(...happenings: readonly Happening[]): Model {
  return Model.of(happenings.map((happening, at) => ({ at, ...happening })));
}

test("an answered create has to run, a failed one may run or not", () => {
  const model = modelOf(
    { type: "call", client, n: "1", call: create("one") },
    { type: "ok", client, n: "1", value: "sbx_1" },
    { type: "call", client, n: "2", call: create("two") },
    { type: "failed", client, n: "2", error: "socket hang up", hung: false },
  );
  assert.equal(mustRun(model.sandboxes.get("one")!), true);
  assert.equal(model.sandboxes.get("two")!.belief, "unknown");
  assert.deepEqual(
    model.known(client).sandboxes.map(({ label }) => label),
    ["one"],
  );
  model.apply({ at: 5, type: "resolved", kind: "sandbox", name: "two", id: "sbx_2" });
  assert.equal(mustRun(model.sandboxes.get("two")!), true);
});

test("sessions end with the server or their client, also when their creation is answered afterwards", () => {
  const model = modelOf(
    { type: "call", client, n: "1", call: create("session", true) },
    { type: "call", client, n: "2", call: create("lasting") },
    { type: "ok", client, n: "2", value: "sbx_2" },
    { type: "server-killed" },
    { type: "ok", client, n: "1", value: "sbx_1" },
  );
  assert.equal(model.sandboxes.get("session")!.mustEnd, "the server was killed");
  assert.equal(mustRun(model.sandboxes.get("session")!), false);
  assert.equal(mustRun(model.sandboxes.get("lasting")!), true);
});

test("a call that hangs is a complaint, unless the kill of the server cut off the output that it read", () => {
  const run = (n: string): Happening => ({ type: "call", client, n, call: { op: "run", sandbox: "one" } });
  const hangs = (n: string): Happening => ({ type: "failed", client, n, error: "no answer", hung: true });
  const complaints = (...between: readonly Happening[]) => modelOf(run("1"), ...between, hangs("1")).complaints.length;
  assert.equal(complaints(), 1);
  assert.equal(complaints({ type: "server-killed", orderly: true }), 1);
  assert.equal(complaints({ type: "server-killed" }), 0);
  const later = modelOf({ type: "server-killed" }, run("1"), hangs("1"));
  assert.equal(later.complaints.length, 1, "a call that began afterwards");
  const file: Call = { op: "file", sandbox: "one" };
  const other = modelOf({ type: "call", client, n: "1", call: file }, { type: "server-killed" }, hangs("1"));
  assert.equal(other.complaints.length, 1, "a call that reads no output");
});

test("a machine that was killed before its create was answered does not have to run", () => {
  const model = modelOf(
    { type: "call", client, n: "1", call: create("one") },
    { type: "must-end", id: "sbx_1", why: "its machine was killed" },
    { type: "ok", client, n: "1", value: "sbx_1" },
  );
  assert.equal(model.sandboxes.get("one")!.mustEnd, "its machine was killed");
});

test("a snapshot has the files that were flushed before it was asked for", () => {
  const record = (file: string): Call => ({ op: "record", sandbox: "one", volume: "v", file });
  const model = modelOf(
    { type: "call", client, n: "1", call: { op: "create-volume", volume: "v", from: null } },
    { type: "ok", client, n: "1" },
    { type: "call", client, n: "2", call: record("before") },
    { type: "ok", client, n: "2" },
    { type: "call", client, n: "3", call: record("during") },
    { type: "call", client, n: "4", call: { op: "snapshot", snapshot: "p", volume: "v" } },
    { type: "ok", client, n: "3" },
    { type: "ok", client, n: "4" },
  );
  assert.deepEqual([...model.volumes.get("v")!.files], ["before", "during"]);
  assert.deepEqual([...model.snapshots.get("p")!.files], ["before"]);
});

test("the same seed chooses the same", () => {
  const draw = (seed: string) => {
    const random = new Random(seed);
    return [random.int(1, 1000), random.pick(["a", "b", "c"]), random.fork("x").int(1, 1000), random.next()];
  };
  assert.deepEqual(draw("7/1"), draw("7/1"));
  assert.notDeepEqual(draw("7/1"), draw("7/2"));
});

/** The queue between egress and the control plane: nothing is lost while there is space, and nothing grows without end. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { EgressBatch, EgressEvent } from "@caisson/protocol";
import { EgressEvents } from "./egress-events.ts";

function events(count: number): readonly EgressEvent[] {
  return Array.from({ length: count }, (_, index) => ({
    kind: "connection",
    at: index,
    sandboxId: "sbx",
    connection: String(index),
    host: "example.com",
    port: 443,
    protocol: "tls",
    verdict: "allowed",
    rule: "allowed",
    bytesOut: 0,
    bytesIn: 0,
    durationMs: 0,
  }));
}

test("batches come in order, and the last one after the abort", async () => {
  const queue = new EgressEvents();
  const stop = new AbortController();
  const read: EgressBatch[] = [];
  queue.add(events(2), 0);
  const reader = (async () => {
    for await (const batch of queue.read(stop.signal)) read.push(batch);
  })();
  await new Promise(setImmediate);
  queue.add(events(1), 3);
  await new Promise(setImmediate);
  queue.add(events(4), 0);
  stop.abort();
  await reader;
  assert.deepEqual(
    read.map((batch) => [batch.events.length, batch.lost]),
    [
      [2, 0],
      [1, 3],
      [4, 0],
    ],
  );
});

test("events that nobody reads are counted as lost", async () => {
  const queue = new EgressEvents();
  for (let round = 0; round < 5; round++) queue.add(events(6000), 1);
  const batches = queue.read(AbortSignal.abort());
  const { value } = await batches.next();
  assert.equal(value?.events.length, 20_000);
  assert.equal(value?.lost, 10_000 + 5);
  assert.equal((await batches.next()).done, true);
});

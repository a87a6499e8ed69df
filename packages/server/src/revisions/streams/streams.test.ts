import assert from "node:assert/strict";
import { test } from "node:test";
import { Streams } from "./streams.ts";

test("a stream that fails cuts its connection; one that its client ends does not", async () => {
  const streams = new Streams(1);
  let cut = 0;
  const open = (fails: boolean) =>
    streams.open({
      orgId: "one",
      format: "ndjson",
      async *values(signal) {
        yield "1";
        if (fails) throw new Error("the database failed");
        await new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason as Error)));
      },
      disconnect: () => void cut++,
    });
  await assert.rejects(new Response(open(true)).text(), /the database failed/);
  assert.equal(cut, 1);
  const reader = open(false).getReader();
  assert.throws(() => open(false), { code: "resource_exhausted" });
  for (const wanted of ["\n", "1\n"])
    assert.equal(new TextDecoder().decode((await reader.read()).value as Uint8Array), wanted);
  await reader.cancel();
  assert.equal(cut, 1);
  // Its place is free again.
  await open(false).cancel();
});

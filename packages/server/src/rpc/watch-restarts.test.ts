import assert from "node:assert/strict";
import { PassThrough } from "node:stream";
import { buffer } from "node:stream/consumers";
import { test } from "node:test";
import { watchRestarts } from "./watch-restarts.ts";

const text =
  "Watcher Process started.\nmy Watcher Restarting!\n\u001b[34mWatcher\u001b[39m File change detected! Restarting!\nother\nWatcher File change detected! Restarting!\n";

test("restarts are found across pieces and colours, and every byte passes", async () => {
  for (const size of [1, 7, 1000]) {
    let restarts = 0;
    const source = new PassThrough();
    const seen = watchRestarts(source, () => restarts++);
    for (let at = 0; at < text.length; at += size) source.write(text.slice(at, at + size));
    source.end();
    assert.equal((await buffer(seen)).toString(), text);
    assert.equal(restarts, 2, `pieces of ${size}`);
  }
});

test("the source is read on when nobody wants the bytes", async () => {
  const found = Promise.withResolvers<void>();
  const source = new PassThrough();
  watchRestarts(source, found.resolve).destroy();
  source.write("x".repeat(1_000_000));
  source.write("\nWatcher File change detected! Restarting!\n");
  await found.promise;
});

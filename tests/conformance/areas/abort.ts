/** Row 92: the client's AbortSignal. */
import assert from "node:assert/strict";
import { bytes, rejection, within, type Scenario } from "../runner/scenario.ts";

export const scenarios: readonly Scenario[] = [
  {
    row: 92,
    title: "abort of a read that cannot finish",
    async run({ sandbox, directory }) {
      await sandbox.sh`mkfifo ${directory}/fifo`;
      const controller = new AbortController();
      const reading = rejection(sandbox.fs.readFile(`${directory}/fifo`, { signal: controller.signal }));
      await sandbox.sh`true`;
      controller.abort();
      const error = await within(10_000, "the abort", reading);
      assert.deepEqual([error.constructor.name, error.name], ["DOMException", "AbortError"]);
    },
  },
  {
    row: 92,
    title: "abort of a write whose source never ends",
    async run({ sandbox, directory }) {
      const controller = new AbortController();
      const endless = new ReadableStream<Uint8Array>({ start: (stream) => stream.enqueue(bytes("begin")) });
      const writing = rejection(sandbox.fs.writeFile(`${directory}/f`, endless, { signal: controller.signal }));
      await sandbox.sh`true`;
      controller.abort();
      assert.equal((await within(10_000, "the abort", writing)).name, "AbortError");
    },
  },
  {
    row: 92,
    title: "an abort after the end does no harm",
    async run({ sandbox, directory }) {
      await sandbox.fs.writeTextFile(`${directory}/f`, "x");
      const controller = new AbortController();
      assert.equal(await sandbox.fs.readTextFile(`${directory}/f`, { signal: controller.signal }), "x");
      controller.abort();
      // The client's abort message is on its way before this call.
      assert.equal(await sandbox.fs.readTextFile(`${directory}/f`), "x");
    },
  },
];

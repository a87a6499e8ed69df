import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { test } from "node:test";
import { recoverVolumes } from "../../packages/server/src/volumes/recover.ts";
import type { Acknowledged } from "./crash-worker.ts";
import { within } from "@caisson/testing";
import { openWorkbench } from "./workbench.ts";

const rounds = Number(process.env["CAISSON_CRASH_ROUNDS"] ?? 4);

test(
  `what was acknowledged is there after kill -9, ${rounds} times in a row, and store and disk agree`,
  { timeout: 300_000 },
  async () => {
    const directory = await mkdtemp(join(tmpdir(), "caisson-crash-"));
    const expected = new Map<string, Acknowledged>();
    const deleted = new Set<string>();
    try {
      for (let round = 0; round < rounds; round++) {
        const worker = spawn(
          process.execPath,
          [
            join(import.meta.dirname, "crash-worker.ts"),
            directory,
            `r${round}`,
            JSON.stringify([...expected.values()]),
          ],
          {
            stdio: ["ignore", "pipe", "inherit"],
          },
        );
        const exit = once(worker, "exit");
        /** A delete that was begun and not acknowledged: it may have been done or not. */
        let unclear: string | undefined;
        const began = Promise.withResolvers<void>();
        const reader = (async () => {
          for await (const line of createInterface(worker.stdout)) {
            began.resolve();
            const operation = JSON.parse(line) as Acknowledged;
            if (operation.kind === "deleting") {
              unclear = operation.slug;
            } else if (operation.kind === "deleted") {
              unclear = undefined;
              expected.delete(operation.slug);
              deleted.add(operation.slug);
            } else {
              expected.set(operation.slug, operation);
            }
          }
        })();
        // On a busy host it takes a while to begin.
        await within(15_000, "the first operation", Promise.race([began.promise, exit]));
        await sleep(500 + Math.random() * 2500);
        worker.kill("SIGKILL");
        const [code] = (await exit) as [number | null];
        assert.equal(code, null, "the worker ended by itself");
        await reader;

        const bench = await openWorkbench({ reclaimAfter: 0 }, { directory });
        try {
          await recoverVolumes(bench.ctx);
          await bench.assertSound();
          await bench.settle();
          await bench.assertSound();
          const volumes = await bench.ctx.db
            .selectFrom("volumes")
            .select(["slug", "head as layer"])
            .where("state", "=", "ready")
            .execute();
          const snapshots = await bench.ctx.db.selectFrom("snapshots").select(["slug", "layer"]).execute();
          const found = new Map([...volumes, ...snapshots].map(({ slug, layer }) => [slug, layer]));
          for (const slug of deleted) assert.equal(found.has(slug), false, `${slug} was deleted`);
          const missing: string[] = [];
          for (const { slug, pattern } of expected.values()) {
            const layer = found.get(slug);
            if (layer !== undefined) bench.read(layer, `read -P ${pattern} 50M 1M`);
            else missing.push(slug);
          }
          assert.deepEqual(
            missing.filter((slug) => slug !== unclear),
            [],
            "acknowledged and gone",
          );
          for (const slug of missing) expected.delete(slug);
        } finally {
          await bench.close();
        }
      }
      assert.ok(expected.size + deleted.size > rounds, "the worker did next to nothing");
    } finally {
      await rm(directory, { recursive: true, force: true });
    }
  },
);

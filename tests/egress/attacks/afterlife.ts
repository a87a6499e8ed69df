/**
 * Row 24: what belonged to a sandbox that is gone, or that is just going. Every test first sees what it then must not see any
 * more, so none can pass for having looked in the wrong place.
 */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { Sandbox } from "@deno/sandbox";
import { descendants, isAlive, until, within, type HostProcess } from "@caisson/testing";
import type { Listener } from "../world/listener.ts";
import type { EgressPlatform } from "../world/platform.ts";
import { searchFiles, searchMemory } from "../world/search.ts";
import { newKey, type Field } from "./run.ts";
import { secrets } from "./tables/secrets.ts";

const key = newKey();
let host: string;
let platform: EgressPlatform;
let listener: Listener;

interface Life {
  readonly sandbox: Sandbox;
  readonly machine: HostProcess;
  /** Its folder on the host: sockets and state. */
  readonly folder: string;
  readonly placeholder: string;
  readonly authority: string;
  /** Stands on its disk and in its memory. */
  readonly mark: Map<string, Buffer>;
}

const machines = (): HostProcess[] =>
  descendants(platform.pid).filter(({ command }) => /^\S*qemu-system/.test(command));
const folders = (): string[] => readdirSync(join(platform.home, "run")).map((name) => join(platform.home, "run", name));

/** A sandbox that sends without pause, and keeps a word of its own on disk and in memory. */
async function begin(): Promise<Life> {
  const known = { machines: new Set(machines().map(({ pid }) => pid)), folders: new Set(folders()) };
  const sandbox = await within(
    60_000,
    "a sandbox",
    Sandbox.create({ allowNet: [host], secrets: { KEY: { hosts: [host], value: key } } }),
  );
  const machine = machines().find(({ pid }) => !known.machines.has(pid));
  const folder = folders().find((name) => !known.folders.has(name));
  assert.ok(machine !== undefined && folder !== undefined);
  const mark = randomBytes(24).toString("hex");
  await sandbox.fs.writeTextFile(
    "/tmp/life.py",
    `
import socket, time
mark = "${mark}"
open("/home/app/mark", "w").write(mark * 100)
while True:
    try:
        one = socket.create_connection(("${host}", 9000))
        while True:
            one.sendall(b"\\0still here")
            time.sleep(0.02)
    except OSError: time.sleep(0.1)
`,
  );
  const child = await sandbox.spawn("python3", { args: ["/tmp/life.py"], stdout: "null", stderr: "null" });
  child.status.catch(() => undefined);
  const [placeholder, authority] = await Promise.all([
    sandbox.sh`printenv KEY`.text(),
    sandbox.sh`cat /usr/local/share/ca-certificates/caisson.crt`.text(),
  ]);
  await until(15_000, "bytes from the sandbox", async () => {
    const before = listener.bytes;
    await sleep(300);
    return listener.bytes > before || undefined;
  });
  await sandbox.sh`sync`;
  return { sandbox, machine, folder, placeholder, authority, mark: new Map([["mark", Buffer.from(mark)]]) };
}

/** Looks as often as it can, until told to stop, for a moment at which the folder has gone and the machine has not. */
function watch({ machine, folder }: Life): () => { early: boolean; looks: number } {
  const seen = { early: false, looks: 0 };
  const look = (): void => {
    seen.looks++;
    if (!existsSync(folder) && isAlive(machine)) seen.early = true;
  };
  const timer = setInterval(look, 1);
  return () => {
    clearInterval(timer);
    look();
    return seen;
  };
}

async function silent(): Promise<void> {
  const arrived = listener.bytes;
  await sleep(1_500);
  assert.equal(listener.bytes, arrived, "it still sends");
}

/**
 * @param field has the hosts of the table of secrets. No other sandbox may start on its platform meanwhile: a machine is found by
 * being new
 */
export function afterlifeTests(field: () => Promise<Field>): void {
  describe("Sandboxes that are gone", { timeout: 240_000 }, () => {
    let first: Life;
    before(async () => {
      const opened = await field();
      const [prepared] = opened.prepared.get(secrets) ?? [];
      assert.ok(prepared);
      platform = opened.platform;
      host = prepared.names["HOST"] ?? "";
      listener = prepared.listeners.host;
      first = await begin();
    });

    test("24: nothing of a sandbox is released while its machine still runs", async () => {
      assert.ok(isAlive(first.machine) && existsSync(join(first.folder, "egress.sock")));
      assert.ok(searchMemory(first.machine.pid, first.mark).found.has("mark"), "the mark is not in its memory");
      assert.ok(searchFiles(platform.home, first.mark).found.has("mark"), "the mark is not on its disk");
      const stop = watch(first);
      await first.sandbox.kill();
      const { early, looks } = stop();
      assert.ok(looks > 1);
      assert.equal(early, false, "its folder went before its machine");
      assert.equal(isAlive(first.machine), false, "it was said to be gone while its machine ran");
      assert.equal(existsSync(first.folder), false);
    });

    test("24: a killed sandbox's connections end with it", silent);

    test("24: its disk is in no file any more", () => {
      assert.deepEqual([...searchFiles(platform.home, first.mark).found], []);
    });

    test("24: its id leads nowhere, also when others run", async () => {
      await using next = await Sandbox.create({ allowNet: [] });
      assert.notEqual(next.id, first.sandbox.id);
      const outcome = await Sandbox.connect({ id: first.sandbox.id }).catch((error: unknown) => error);
      if (outcome instanceof Sandbox) await outcome.close();
      assert.ok(outcome instanceof Error && !(outcome instanceof Sandbox), "connected");
    });

    test("24: the next sandbox has neither its names, nor its disk, nor its memory", async (context) => {
      const next = await begin();
      try {
        assert.notEqual(next.sandbox.id, first.sandbox.id);
        assert.notEqual(next.folder, first.folder);
        assert.notEqual(next.placeholder, first.placeholder);
        assert.notEqual(next.authority, first.authority);
        const all = new Map([
          ["old", first.mark.get("mark") as Buffer],
          ["own", next.mark.get("mark") as Buffer],
          ["old placeholder", Buffer.from(first.placeholder.trim())],
        ]);
        const { found, bytes } = searchMemory(next.machine.pid, all);
        context.diagnostic(`${Math.round(bytes / 1e6)} MB of memory searched`);
        assert.deepEqual([...found], ["own"]);
        // Its disk is a file there. So is the store, where a deleted row's placeholder, worth nothing, may stand for a while.
        all.delete("old placeholder");
        assert.deepEqual([...searchFiles(platform.home, all).found], ["own"]);
        const audits = await Promise.all([first, next].map(({ sandbox }) => platform.audit(sandbox.id)));
        assert.ok(
          audits[0]?.some((event) => event.host === host),
          "its own record is lost",
        );
        const before = new Set(audits[0]?.map(({ connection }) => connection));
        assert.deepEqual(
          audits[1]?.filter(({ connection }) => before.has(connection)),
          [],
        );
      } finally {
        await next.sandbox.kill();
      }
    });

    test("24: a machine that dies by itself takes its connections and its folder with it", async () => {
      const life = await begin();
      const stop = watch(life);
      process.kill(life.machine.pid, "SIGKILL");
      await until(20_000, "the end of its folder", async () => !existsSync(life.folder) || undefined);
      assert.equal(stop().early, false);
      await silent();
      assert.deepEqual([...searchFiles(platform.home, life.mark).found], []);
      const outcome = await Sandbox.connect({ id: life.sandbox.id }).catch((error: unknown) => error);
      assert.ok(outcome instanceof Error && !(outcome instanceof Sandbox), "connected");
    });

    test("24: ids are not used again", async () => {
      const ids = new Set([first.sandbox.id]);
      for (let turn = 0; turn < 5; turn++) {
        const one = await Sandbox.create({ allowNet: [] });
        assert.equal(ids.has(one.id), false);
        ids.add(one.id);
        await one.kill();
      }
    });
  });
}

/** A sandbox that takes all it can get: its neighbour still answers, and a third one can still be made. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { Sandbox } from "@deno/sandbox";
import { processCounters, sharedPlatform, until, WireClient, within } from "@caisson/testing";

const { env, pid } = await sharedPlatform();
const neighbour = await Sandbox.create();
after(() => neighbour.kill());

async function othersAreFine(): Promise<void> {
  assert.equal(await within(20_000, "the neighbour's answer", neighbour.sh`echo here`.text()), "here\n");
  const third = await within(30_000, "a third sandbox", Sandbox.create());
  assert.equal(await within(20_000, "the third one's answer", third.sh`echo new`.text()), "new\n");
  await third.kill();
}

/** Runs the script in a sandbox of its own, and that sandbox's end. */
async function whileRunning(
  script: string,
  ready: (sandbox: Sandbox) => Promise<unknown>,
  memory: "768MiB" | "1280MiB" = "768MiB",
): Promise<void> {
  const attacker = await Sandbox.create({ memory });
  try {
    const child = await attacker.spawn("bash", { args: ["-c", script], stdout: "null", stderr: "null" });
    child.status.catch(() => undefined);
    await ready(attacker);
    await othersAreFine();
  } finally {
    await within(15_000, "the attacker's end", attacker.kill());
  }
}

test("a fork bomb", { timeout: 120_000 }, () =>
  whileRunning("bomb() { bomb | bomb & }; touch /tmp/started; bomb", (sandbox) =>
    until(10_000, "the bomb's start", () =>
      sandbox.fs.stat("/tmp/started").then(
        () => true,
        () => undefined,
      ),
    ),
  ),
);

test("a memory hog", { timeout: 120_000 }, async () => {
  const attacker = await Sandbox.create({ memory: "768MiB" });
  try {
    const hog = await attacker.spawn("bash", {
      args: ["-c", 'exec python3 -c \'while True: globals().setdefault("held", []).append(b"x" * 33554432)\''],
      stdout: "null",
      stderr: "null",
    });
    await othersAreFine();
    const status = await within(60_000, "the hog's end", hog.status);
    assert.deepEqual(status, { success: false, code: 137, signal: "SIGKILL", oom: true });
    // Its own sandbox survives as well.
    assert.equal(await within(20_000, "the hog's sandbox", attacker.sh`echo recovered`.text()), "recovered\n");
  } finally {
    await attacker.kill();
  }
});

test("a disk filler", { timeout: 120_000 }, () =>
  whileRunning("dd if=/dev/zero of=/home/app/fill bs=1M count=400 conv=fsync", (sandbox) =>
    until(20_000, "the first megabytes", async () => {
      const info = await sandbox.fs.stat("/home/app/fill").catch(() => undefined);
      return info !== undefined && info.size > 10_000_000;
    }),
  ),
);

test("a flood of output that nobody reads", { timeout: 120_000 }, async () => {
  const attacker = await WireClient.open({ env });
  const before = processCounters(pid).residentBytes;
  for (let index = 0; index < 4; index++) {
    const { pid: flood } = (await attacker.ok("spawn", { command: "yes", stdout: "piped", stderr: "null" })) as {
      pid: number;
    };
    attacker.request("processWait", { pid: flood });
  }
  attacker.socket.pause();
  await othersAreFine();
  const grown = processCounters(pid).residentBytes - before;
  assert.ok(grown < 150e6, `the server grew by ${Math.round(grown / 1e6)} MB`);
  attacker.socket.terminate();
});

/** SIGTERM: ended within ten seconds, and nothing of the installation is left on the host. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { test } from "node:test";
import { Sandbox } from "@deno/sandbox";
import {
  cgroupsOf,
  descendants,
  holdings,
  isAlive,
  processesNaming,
  startPlatform,
  until,
  within,
} from "@caisson/testing";

test("SIGTERM with sandboxes at work leaves nothing behind", async () => {
  const platform = await startPlatform({ config: { pool: { size: 1 } } });
  Object.assign(process.env, platform.env);
  const session = await Sandbox.create({ timeout: "session" });
  const lasting = await Sandbox.create({ timeout: "10m" });
  const busy = await lasting.spawn("bash", { args: ["-c", "while :; do echo flood; done"], stdout: "piped" });
  await busy.stdout?.getReader().read();
  busy.status.catch(() => undefined);
  const before = [...descendants(platform.pid), ...processesNaming(platform.home)];
  if (process.getuid?.() === 0)
    assert.notDeepEqual(cgroupsOf(platform.home), [], "the machines' control groups could not be found");
  assert.ok(
    before.some((process) => process.command.includes("qemu")),
    "the machines' processes could not be found",
  );

  const { code, milliseconds } = await platform.stop(10_000);
  assert.equal(code, 0, platform.output());
  assert.ok(milliseconds < 10_000);
  await within(5_000, "the session's connection", session.closed);
  await within(5_000, "the lasting sandbox's connection", lasting.closed);

  assert.deepEqual(
    before.filter(isAlive).map((process) => process.command),
    [],
  );
  const left = holdings(platform.home);
  assert.deepEqual(left, { processes: [], mounts: [], sockets: [], cgroups: [], loopDevices: [] });
  assert.equal(existsSync(platform.home), false);
});

test("SIGTERM while a sandbox is being made", async () => {
  const platform = await startPlatform({ config: { pool: { size: 0 } } });
  Object.assign(process.env, platform.env);
  const creating = Promise.allSettled([Sandbox.create(), Sandbox.create()]);
  await until(20_000, "a machine in the making", () =>
    processesNaming(platform.home).some((process) => process.command.includes("qemu")),
  );
  const before = [...descendants(platform.pid), ...processesNaming(platform.home)];
  const { code } = await platform.stop(10_000);
  assert.equal(code, 0, platform.output());
  await within(10_000, "the answers to both creations", creating);
  assert.deepEqual(
    before.filter(isAlive).map((process) => process.command),
    [],
  );
  assert.deepEqual(holdings(platform.home), { processes: [], mounts: [], sockets: [], cgroups: [], loopDevices: [] });
});

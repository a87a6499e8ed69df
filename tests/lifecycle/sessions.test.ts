/** A session lives as long as its creator, however that one ends; a duration does not care. Clients are processes of their own. */
import assert from "node:assert/strict";
import { spawn, type ChildProcess } from "node:child_process";
import { createInterface } from "node:readline";
import { after, test } from "node:test";
import { Client, Sandbox } from "@deno/sandbox";
import { startPlatform, until, within } from "@caisson/testing";

// A short grace, so that silence can be waited for.
const platform = await startPlatform({ config: { sandbox: { sessionGrace: 6 }, pool: { size: 1 } } });
after(() => platform.stop());
Object.assign(process.env, platform.env);

const started: ChildProcess[] = [];
after(() => started.forEach((child) => child.kill("SIGKILL")));

/** A client process that creates a sandbox, prints its id and stays. */
async function clientProcess(timeout: string): Promise<{ id: string; child: ChildProcess }> {
  const program = `
    import { Sandbox } from "@deno/sandbox";
    const sandbox = await Sandbox.create({ timeout: ${JSON.stringify(timeout)} });
    console.log(sandbox.id);
    await sandbox.closed;`;
  const child = spawn(process.execPath, ["--input-type=module", "-e", program], {
    cwd: import.meta.dirname,
    env: { ...process.env, ...platform.env },
    stdio: ["ignore", "pipe", "inherit"],
  });
  started.push(child);
  const lines = createInterface({ input: child.stdout });
  const line = new Promise<string>((resolve) => lines.once("line", resolve));
  const id = await within(30_000, "the client's sandbox", line);
  assert.match(id, /^sbx_/);
  return { id, child };
}

async function status(id: string): Promise<string | undefined> {
  return (await new Client().sandboxes.list()).find((entry) => entry.id === id)?.status;
}

const stopped = (id: string, limit: number): Promise<true> =>
  until(limit, `the end of ${id}`, async () => ((await status(id)) === "stopped" ? true : undefined));

test("a session ends when its client is killed", async () => {
  const { id, child } = await clientProcess("session");
  assert.equal(await status(id), "running");
  child.kill("SIGKILL");
  await stopped(id, 10_000);
});

test("a session ends when its client falls silent, and not before the grace has passed", async () => {
  const { id, child } = await clientProcess("session");
  const frozen = Date.now();
  // The kernel still acknowledges for a stopped process: nothing but the silence tells.
  child.kill("SIGSTOP");
  await stopped(id, 20_000);
  const lasted = Date.now() - frozen;
  child.kill("SIGKILL");
  assert.ok(lasted > 3_500, `ended after ${lasted} ms`);
});

test("a client that only pings keeps its session", async () => {
  const { id, child } = await clientProcess("session");
  const until = Date.now() + 9_000;
  while (Date.now() < until) {
    assert.equal(await status(id), "running");
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
  child.kill("SIGKILL");
  await stopped(id, 10_000);
});

test("a duration survives its client's death; a second process takes over", async () => {
  const { id, child } = await clientProcess("5m");
  child.kill("SIGKILL");
  const sandbox = await Sandbox.connect(id);
  assert.equal(await sandbox.sh`echo taken over`.text(), "taken over\n");
  assert.equal(await status(id), "running");
  await sandbox.kill();
  await stopped(id, 10_000);
});

/** The server is killed without warning and started again over the same state: sandboxes with a duration have not noticed. */
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { request } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { Client, Sandbox } from "@deno/sandbox";
import { holdings, startPlatform, until, within, type PlatformProcess } from "@caisson/testing";

const config = { sandbox: { sessionGrace: 5 }, pool: { size: 1 } };

test("kill -9 of the server, restart, and everything is still there", async () => {
  const home = await mkdtemp(join(tmpdir(), "csn-"));
  after(() => rm(home, { recursive: true, force: true }));
  const first = await startPlatform({ home, config });
  Object.assign(process.env, first.env);
  let second: PlatformProcess | undefined;
  try {
    const keeper = await Sandbox.create({ timeout: "10m", labels: { role: "keeper" } });
    await keeper.fs.writeTextFile("/home/app/kept", "before the crash");
    await keeper.env.set("KEPT", "yes");
    const exposed = new URL(await keeper.exposeHttp({ port: 8080 })).hostname;
    const sleeper = await keeper.spawn("sleep", { args: ["3000"] });
    const session = await Sandbox.create({ timeout: "session" });
    const ends = [
      within(10_000, "the keeper's connection", keeper.closed),
      within(10_000, "the session's connection", session.closed),
    ];
    // The client's pending waits fail with the connection; that is not this test's matter.
    sleeper.status.catch(() => undefined);
    await first.crash();
    await Promise.all(ends);

    second = await startPlatform({ home, config });
    Object.assign(process.env, second.env);
    const again = await Sandbox.connect(keeper.id);
    assert.equal(await again.fs.readTextFile("/home/app/kept"), "before the crash");
    assert.equal(await again.sh`kill -0 ${sleeper.pid} && echo alive`.text(), "alive\n");
    assert.equal(await again.sh`echo $KEPT`.text(), "yes\n");
    // Its address has not changed; the test platform's port has.
    const { port } = new URL(await again.exposeHttp({ port: 8081 }));
    assert.match(await page(exposed, Number(port)), /Nothing listens on port 8080 in the sandbox/);
    const entry = (await new Client().sandboxes.list({ labels: { role: "keeper" } }))[0];
    assert.deepEqual([entry?.id, entry?.status], [keeper.id, "running"]);
    assert.ok((await again.extendTimeout("20m")).getTime() > Date.now() + 15 * 60_000);
    await until(30_000, "the end of the session whose creator is gone", async () => {
      const found = (await new Client().sandboxes.list()).find((candidate) => candidate.id === session.id);
      return found?.status === "stopped";
    });
    // New ones can be made next to the adopted one.
    const fresh = await Sandbox.create();
    assert.equal(await fresh.sh`echo new`.text(), "new\n");
    await fresh.kill();
  } finally {
    if (second === undefined) await first.stop().catch(() => undefined);
    else await second.stop();
  }
  assert.deepEqual(holdings(home), { processes: [], mounts: [], sockets: [], cgroups: [], loopDevices: [] });
});

function page(host: string, port: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const options = { host: "127.0.0.1", port, servername: host, rejectUnauthorized: false, headers: { host } };
    const sent = request(options, (response) => {
      let text = "";
      response.setEncoding("utf8").on("data", (chunk: string) => (text += chunk));
      response.on("end", () => resolve(text));
    });
    sent.on("error", reject).end();
  });
}

/** `npm start` as a service manager runs it: a signal to npm ends the server, and nothing of the installation is left on the host. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { holdings, readProcess, until } from "@caisson/testing";

const repository = join(import.meta.dirname, "../..");

for (const signal of ["SIGTERM", "SIGINT"] as const) {
  test(`${signal} to npm reaches the server`, { timeout: 240_000 }, async () => {
    const home = await mkdtemp(join(tmpdir(), "csn-"));
    await writeFile(join(home, "config.json"), JSON.stringify({ pool: { size: 1 } }));
    const ports = { CAISSON_PORT: "0", CAISSON_HTTPS_PORT: "0", CAISSON_SSH_PORT: "0" };
    const npm = spawn("npm", ["start"], {
      cwd: repository,
      env: { ...process.env, CAISSON_HOME: home, ...ports },
      stdio: ["ignore", "pipe", "pipe"],
    });
    let output = "";
    for (const stream of [npm.stdout, npm.stderr])
      stream.setEncoding("utf8").on("data", (text: string) => (output += text));
    try {
      await until(180_000, "the ready line", () => /^caisson ready/m.test(output) || undefined, 50);
      const pid = Number(await readFile(join(home, "server.lock"), "utf8"));
      assert.match(readProcess(pid)?.command ?? "", /platform\/src\/main\.ts/);
      npm.kill(signal);
      await until(15_000, "the server's end", () => readProcess(pid) === undefined || undefined, 50);
      assert.deepEqual(holdings(home), { processes: [], mounts: [], sockets: [], cgroups: [], loopDevices: [] });
    } catch (error) {
      throw new Error(output.slice(-4000), { cause: error });
    } finally {
      npm.kill("SIGKILL");
      await rm(home, { recursive: true, force: true });
    }
  });
}

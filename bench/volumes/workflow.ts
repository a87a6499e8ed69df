/**
 * The documentation's way to software that every sandbox has, with the official client and a time for each step: a bootable volume,
 * `apt-get install` of two packages, a snapshot, a sandbox that has them, a volume from the snapshot, a change, a second snapshot.
 * Packages come from the registry that this host itself uses. Ends with status 1 when a step does not do what is promised or
 * the goal of the last figure is missed. `node bench/volumes/workflow.ts [--runs 9]`
 */
import assert from "node:assert/strict";
import { parseArgs } from "node:util";
import { Client, Sandbox } from "@deno/sandbox";
import { startPlatform } from "@caisson/testing";
import { registriesOfThisHost } from "../../tests/egress/world/registries.ts";
import { report } from "../report.ts";
import { compareFirstExec, maxRatio } from "./first-exec.ts";

const { values } = parseArgs({ options: { runs: { type: "string", default: "9" }, json: { type: "boolean" } } });
const { apt } = await registriesOfThisHost();
const platform = await startPlatform({ config: { pool: { size: 1 }, logLevel: "warn" } });
Object.assign(process.env, platform.env);
const client = new Client();
const figures: Record<string, number> = {};

async function step<T>(name: string, action: () => Promise<T>): Promise<T> {
  const started = performance.now();
  const result = await action();
  figures[`${name}, s`] = (performance.now() - started) / 1000;
  process.stderr.write(`${name}\n`);
  return result;
}

const region = "ord" as const;
const capacity = "5GB" as const;

try {
  const { id: volume } = await step("bootable volume", () =>
    client.volumes.create({ slug: "tools", region, capacity, from: "builtin:debian-13" }),
  );
  const builder = await step("sandbox on it", () =>
    Sandbox.create({ root: volume, allowNet: [...apt.hosts], timeout: "20m" }),
  );
  assert.match(await builder.sh`command -v tree figlet || echo none`.text(), /^none/);
  await step("apt-get update", () => builder.sh`sudo apt-get update`.text());
  await step("apt-get install -y tree figlet", () => builder.sh`sudo apt-get install -y tree figlet`.text());
  await step("end of that sandbox", () => builder.kill());
  const first = await step("snapshot", () => client.volumes.snapshot(volume, { slug: "tools-1" }));
  const user = await step("sandbox from the snapshot", () => Sandbox.create({ root: first.slug }));
  await step("both packages are there", async () => {
    assert.match(await user.sh`tree --version`.text(), /tree v\d/);
    assert.match(await user.sh`figlet -v`.text(), /FIGlet/);
  });
  await user.kill();
  const second = await step("volume from the snapshot", () =>
    client.volumes.create({ slug: "tools-next", region, capacity, from: first.slug }),
  );
  const changer = await Sandbox.create({ root: second.id });
  await step("change", () => changer.sh`sudo sh -c 'echo changed > /etc/tools'`.text());
  await changer.kill();
  const next = await step("second snapshot", () => client.volumes.snapshot(second.id, { slug: "tools-2" }));
  const last = await Sandbox.create({ root: next.slug });
  assert.match(await last.sh`cat /etc/tools && tree --version`.text(), /^changed\ntree v\d/);
  await last.kill();
  const old = await Sandbox.create({ root: first.slug });
  assert.match(await old.sh`ls /etc/tools 2>&1 || true`.text(), /No such file/, "the first snapshot stays as it was");
  await old.kill();
  const comparison = await compareFirstExec(Number(values.runs), {
    "default root": {},
    "snapshot as root": { root: next.slug },
  });
  report({ ...figures, ...comparison.figures });
  if (comparison.ratio > maxRatio) {
    console.error(`Missed: at most ${maxRatio} times the default root.`);
    process.exitCode = 1;
  }
} finally {
  await platform.stop();
}

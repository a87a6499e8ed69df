/**
 * From `create` to the end of the first command, from the pool: with the default root, with a snapshot as root, with a mounted
 * volume; in turn, in one run. Ends with status 1 when the goal is missed. `node bench/volumes/clones.ts [--runs 15]
 * [--standing 0]` (no machine stands on the snapshot)
 */
import { parseArgs } from "node:util";
import { Client, Sandbox } from "@deno/sandbox";
import { startPlatform } from "@caisson/testing";
import { report } from "../report.ts";
import { compareFirstExec, maxRatio } from "./first-exec.ts";

const { values } = parseArgs({
  options: {
    runs: { type: "string", default: "15" },
    standing: { type: "string", default: "1" },
    json: { type: "boolean" },
  },
});
const standing = Number(values.standing);
const platform = await startPlatform({ config: { pool: { size: 1, standing }, logLevel: "warn" } });
Object.assign(process.env, platform.env);
const client = new Client();

try {
  const { id: rootVolume } = await client.volumes.create({
    slug: "soft",
    region: "ord",
    capacity: "5GB",
    from: "builtin:debian-13",
  });
  const setup = await Sandbox.create({ root: rootVolume });
  await setup.sh`sudo sh -c 'for i in $(seq 300); do head -c 20000 /dev/urandom > /opt/file-$i; done'`;
  await setup.kill();
  const { id: image } = await client.volumes.snapshot(rootVolume, { slug: "image" });
  const { id: data } = await client.volumes.create({ slug: "data", region: "ord", capacity: "1GB" });
  const kinds = {
    "default root": {},
    "snapshot as root": { root: image },
    "mounted volume": { volumes: { "/data": data } },
  };
  const { figures, ratio } = await compareFirstExec(Number(values.runs), kinds, standing);
  report(figures);
  if (ratio > maxRatio) {
    console.error(`Missed: at most ${maxRatio} times the default root.`);
    process.exitCode = 1;
  }
} finally {
  await platform.stop();
}

/**
 * For operators: `node packages/platform/src/volumes.ts check | deleted | restore <id> [slug]`, on the state in `CAISSON_HOME`.
 * `check` proves that the store and the images on disk agree; its exit status is 1 when they do not.
 */
import { openLayers } from "./roles/layers.ts";
import { toCaissonError } from "@caisson/protocol";
import { openVolumeOperator } from "@caisson/server/operator";
import { pino } from "pino";
import { homeDirectory } from "./home.ts";
import { loadNodeId } from "./identity.ts";

const usage = "Usage: volumes.ts check | deleted | restore <id> [slug]";

async function main([verb, ...args]: readonly string[]): Promise<number> {
  const home = homeDirectory();
  const layers = openLayers(home);
  const place = { home, databaseUrl: process.env["DATABASE_URL"], log: pino({ level: "silent" }) };
  const operator = await openVolumeOperator({ ...place, nodeId: await loadNodeId(place), layers });
  try {
    if (verb === "check") {
      const { faults, ...counts } = await operator.check();
      for (const { subject, problem } of faults) console.log(`${subject}: ${problem}`);
      console.log(
        `${counts.volumes} volumes, ${counts.snapshots} snapshots, ${counts.layers} images: ${faults.length} faults`,
      );
      return faults.length === 0 ? 0 : 1;
    }
    if (verb === "deleted") {
      for (const { id, slug, org, capacity, reclaimAt } of await operator.deleted())
        console.log(`${id} ${org}/${slug} ${capacity} bytes, until ${reclaimAt.toISOString()}`);
      return 0;
    }
    const [id, slug] = args;
    if (verb === "restore" && id !== undefined) {
      console.log(`${id} is back as ${await operator.restore(id, slug)}`);
      return 0;
    }
    console.error(usage);
    return 2;
  } finally {
    await operator.close();
  }
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  console.error(toCaissonError(error).message);
  process.exitCode = 1;
}

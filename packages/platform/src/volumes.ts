/**
 * For operators: `npm run volumes -- <verb>`, on the state in `CAISSON_HOME`. See docs/volumes.md. The exit status is 1
 * when something is damaged or was not repaired.
 */
import { openLayers } from "./roles/layers.ts";
import { toCaissonError } from "@caisson/protocol";
import { openVolumeOperator } from "@caisson/server/operator";
import { pino } from "pino";
import { existingHome } from "./home.ts";
import { loadNodeId } from "./identity.ts";

const usage = "Usage: npm run volumes -- check | damaged | repair <id> | drop <id> | deleted | restore <id> [slug]";

async function main([verb, ...args]: readonly string[]): Promise<number> {
  const home = await existingHome();
  const layers = openLayers(home);
  const place = { home, databaseUrl: process.env["DATABASE_URL"], log: pino({ level: "silent" }) };
  const operator = await openVolumeOperator({ ...place, nodeId: await loadNodeId(place), layers });
  try {
    if (verb === "check") {
      const { faults, unknownCopies, ...counts } = await operator.check();
      for (const { subject, problem } of faults) console.log(`${subject}: ${problem}`);
      for (const { digest, foundAt } of unknownCopies)
        console.log(`copy ${digest}: belongs to no layer since ${foundAt.toISOString()}; it is kept for a time`);
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
    if (verb === "damaged") {
      const { marks, volumes, snapshots } = await operator.damaged();
      for (const { kind, subject, reason, found_at } of marks)
        console.log(`${kind} ${subject}: ${reason} (since ${new Date(found_at).toISOString()})`);
      for (const volume of volumes) console.log(`volume ${volume} is refused`);
      for (const snapshot of snapshots) console.log(`snapshot ${snapshot} is refused`);
      return marks.length === 0 ? 0 : 1;
    }
    const [id, slug] = args;
    if (verb === "repair" && id !== undefined) {
      const repairs = await operator.repair(id);
      if (repairs.length === 0) console.log(`${id}: nothing is marked as damaged`);
      for (const { subject, problem } of repairs) console.log(`${subject}: ${problem ?? "repaired"}`);
      return repairs.every(({ problem }) => problem === undefined) ? 0 : 1;
    }
    if (verb === "drop" && id !== undefined) {
      await operator.drop(id);
      console.log(`${id} is dropped`);
      return 0;
    }
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

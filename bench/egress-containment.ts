/**
 * What five hundred connections of one sandbox cost the host and a neighbour.
 *
 *   node bench/egress-containment.ts [rounds]
 *
 * Promise: the neighbour's median request takes at most twice as long as alone, the worker grows by less than 200 MB.
 */
import { Sandbox } from "@deno/sandbox";
import { descendants, processCounters } from "@caisson/testing";
import { createTestAuthority } from "../tests/egress/world/authority.ts";
import { holdConnections, requestTimes } from "../tests/egress/world/crowd.ts";
import { Listener } from "../tests/egress/world/listener.ts";
import { startEgressPlatform } from "../tests/egress/world/platform.ts";

const rounds = Number(process.argv[2] ?? 3);
const host = "allowed.example";
const authority = await createTestAuthority();
const listener = await Listener.start({ name: host, identity: await authority.issue([host]) });
const platform = await startEgressPlatform({ authority, egress: { resolve: { [host]: listener.address } } });
const [crowded, neighbour] = await Promise.all([
  Sandbox.create({ allowNet: [host] }),
  Sandbox.create({ allowNet: [host] }),
]);
const resident = (): number =>
  descendants(platform.pid)
    .filter(({ command }) => command.includes("egress/src/worker/main"))
    .reduce((sum, { pid }) => sum + processCounters(pid).residentBytes, 0);
const at = (times: readonly number[], part: number): string =>
  (times[Math.min(times.length - 1, Math.floor(times.length * part))] ?? 0).toFixed(1);

await requestTimes(neighbour, host, 20);
const ratios: number[] = [];
for (let round = 1; round <= rounds; round++) {
  const before = resident();
  const alone = await requestTimes(neighbour, host, 200);
  const crowd = await holdConnections(crowded, host, 9000, 500);
  const grown = resident() - before;
  const beside = await requestTimes(neighbour, host, 200);
  await crowd.end();
  ratios.push(Number(at(beside, 0.5)) / Number(at(alone, 0.5)));
  console.log(
    `round ${round}: ${crowd.held} connections, worker +${Math.round(grown / 1e6)} MB; neighbour p50/p95 ${at(alone, 0.5)}/${at(alone, 0.95)} ms alone, ${at(beside, 0.5)}/${at(beside, 0.95)} ms beside`,
  );
}
const ratio = ratios.toSorted((a, b) => a - b)[Math.floor(ratios.length / 2)] ?? 0;
console.log(`median slowdown ${ratio.toFixed(2)}x, promised at most 2x: ${ratio <= 2 ? "kept" : "NOT kept"}`);
await Promise.all([crowded.kill(), neighbour.kill()]);
await platform.stop(15_000);
await listener.close();

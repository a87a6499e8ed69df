/** Looks into sandboxes and volumes of a quiet installation, through the official client. */
import { request } from "node:https";
import { setTimeout as sleep } from "node:timers/promises";
import { Client, Sandbox } from "@deno/sandbox";
import { until, within } from "@caisson/testing";
import type { Random } from "../random.ts";
import { countPath, mountPath, upstreamKey } from "../traffic/messages.ts";
import { fetchScript } from "../traffic/operations.ts";
import { mustRun, type SandboxBelief, type VolumeBelief } from "../model/model.ts";
import type { DeepObservation, Observation } from "../validators/observation.ts";
import type { World } from "./world.ts";

/** Volumes that were made of snapshots to look into them: each has a name of its own, because its removal may have failed. */
let copies = 0;

/** Milliseconds for each step. */
const limit = 20_000;

/**
 * @param random chooses the snapshot that is looked into, since each costs a volume, and the sandbox that tries the way out
 * @param share how often each of the two is done
 */
export async function observeDeep(
  world: World,
  { rows }: Observation,
  random: Random,
  share = 1,
): Promise<DeepObservation> {
  const { model } = world.history;
  const running = [...model.sandboxes.values()].filter((sandbox) => mustRun(sandbox) && sandbox.id !== undefined);
  const lasting = running.filter(({ session }) => !session);
  // Both are slow under emulation, so not every round looks at both.
  const caller = lasting.length > 0 && random.chance(share) ? random.pick(lasting) : undefined;
  const [counters, routes, egress] = await Promise.all([readCounters(running), readRoutes(world), tryEgress(caller)]);
  const holders = new Map(rows.volumes.map(({ slug, attached_to }) => [slug, attached_to]));
  const volumes = [...model.volumes.values()].filter(({ belief, damaged }) => belief === "present" && !damaged);
  const contents: Record<string, Record<string, string> | string> = {};
  await Promise.all(
    running.map(async ({ id, volumes: mounted }) => {
      const own = volumes.filter(({ slug }) => mounted.includes(slug) && holders.get(slug) === id);
      if (own.length > 0) await readInto(contents, own, () => Sandbox.connect(id!), false);
    }),
  );
  const free = volumes.filter(({ slug }) => holders.get(slug) === null);
  const snapshots = [...model.snapshots.values()].filter(({ belief, damaged }) => belief === "present" && !damaged);
  const snapshot = snapshots.length > 0 && random.chance(share) ? random.pick(snapshots) : undefined;
  const probe = await readUnmounted(contents, free, snapshot).then(
    () => undefined,
    (error: unknown) => String(error),
  );
  const keys = world.upstream.requests.map(({ headers }) => headers.authorization ?? "none");
  const wrongKeys = [...new Set(keys)].filter((key) => key !== `Bearer ${upstreamKey}`);
  world.upstream.requests.length = 0;
  return { counters, routes, contents, egress, wrongKeys, probe };
}

async function readCounters(running: readonly SandboxBelief[]): Promise<DeepObservation["counters"]> {
  const counting = running.filter(({ counted }) => counted !== undefined);
  const read = async ({ label, id }: SandboxBelief): Promise<[string, readonly [number, number] | string]> => {
    try {
      const sandbox = await within(limit, `a connection to ${label}`, Sandbox.connect(id!));
      const text = async () => (await within(limit, "the counter", sandbox.fs.readTextFile(countPath))) || undefined;
      // Empty while it is being written.
      const number = async () => Number(await until(limit, "a number in the counter", text));
      const first = await number();
      // It counts five times a second, when the host has time for it.
      let last = first;
      for (let left = 40; left > 0 && last <= first; left--) {
        await sleep(100);
        last = await number();
      }
      await sandbox.close();
      return [label, [first, last]];
    } catch (error) {
      return [label, String(error)];
    }
  };
  return Object.fromEntries(await Promise.all(counting.map(read)));
}

async function tryEgress(caller: SandboxBelief | undefined): Promise<Record<string, string>> {
  if (caller === undefined) return {};
  const ask = async () => {
    const sandbox = await Sandbox.connect(caller.id!);
    const text = await sandbox.sh`sh -c ${fetchScript}`.noThrow().text();
    await sandbox.close();
    return text;
  };
  return { [caller.label]: await within(limit, "the upstream host", ask()).catch(String) };
}

async function readInto(
  contents: Record<string, Record<string, string> | string>,
  volumes: readonly Pick<VolumeBelief, "slug">[],
  open: () => Promise<Sandbox>,
  kill: boolean,
): Promise<void> {
  let sandbox: Sandbox | undefined;
  try {
    sandbox = await within(limit, "a sandbox to read volumes", open());
    for (const { slug } of volumes) {
      const script = `cd ${mountPath(slug)} && find . -maxdepth 1 -type f -name 'f-*' -exec sha256sum {} +`;
      const text = await within(limit, `the files of ${slug}`, sandbox.sh`sh -c ${script}`.text());
      const lines = text.split("\n").filter(Boolean);
      contents[slug] = Object.fromEntries(
        lines.map((line) => [line.slice(line.lastIndexOf("/") + 1), line.split(" ")[0] ?? ""]),
      );
    }
  } catch (error) {
    for (const { slug } of volumes) contents[slug] ??= String(error);
    if (kill) throw error;
  } finally {
    await within(
      limit,
      "the end of that sandbox",
      kill ? (sandbox?.kill() ?? Promise.resolve()) : (sandbox?.close() ?? Promise.resolve()),
    );
  }
}

/** Mounts all in one sandbox, a copy of a snapshot included. Shows besides that a sandbox can be created, used and killed. */
async function readUnmounted(
  contents: Record<string, Record<string, string> | string>,
  free: readonly VolumeBelief[],
  snapshot: VolumeBelief | undefined,
): Promise<void> {
  const client = new Client();
  const copy = snapshot === undefined ? undefined : `copy-${++copies}-${snapshot.slug}`.slice(0, 32);
  const copied: Record<string, Record<string, string> | string> = {};
  if (copy !== undefined)
    await within(
      limit,
      `a volume from ${snapshot?.slug}`,
      client.volumes.create({ slug: copy, region: "ord", capacity: "300MB", from: snapshot!.slug }),
    );
  const slugs = [...free.map(({ slug }) => slug), ...(copy === undefined ? [] : [copy])];
  const volumes = Object.fromEntries(slugs.map((slug) => [mountPath(slug), slug]));
  await readInto(
    copied,
    slugs.map((slug) => ({ slug })),
    () => Sandbox.create({ memory: "768MiB", volumes }),
    true,
  );
  for (const { slug } of free) contents[slug] = copied[slug] ?? "not read";
  if (copy === undefined) return;
  contents[snapshot!.slug] = copied[copy] ?? "not read";
  await within(limit, "the removal of the copy", client.volumes.delete(copy));
}

async function readRoutes({ ports, history }: World): Promise<DeepObservation["routes"]> {
  const hosts = [...history.model.sandboxes.values()].flatMap(({ hostnames }) => hostnames).slice(-20);
  return Object.fromEntries(await Promise.all(hosts.map(async (host) => [host, await statusOf(host, ports.gateway)])));
}

function statusOf(host: string, port: number): Promise<number | string> {
  return new Promise((resolve) => {
    const options = {
      host: "127.0.0.1",
      port,
      servername: host,
      rejectUnauthorized: false,
      headers: { host },
      timeout: limit,
      agent: false,
    };
    const sent = request(options, (response) => {
      response.resume();
      resolve(response.statusCode ?? 0);
    });
    sent.on("error", (error) => resolve(String(error)));
    sent.on("timeout", () => sent.destroy(new Error("no answer")));
    sent.end();
  });
}

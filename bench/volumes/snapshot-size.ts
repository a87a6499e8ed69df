/**
 * A snapshot takes the same time whatever the volume holds, and the same room on the host's disk: of a volume that holds much and of
 * one that holds little, both mounted, in turn; then both detached. Ends with status 1 when the goals are missed.
 * `node bench/volumes/snapshot-size.ts [--small 50] [--large 5000] [--rounds 9]` (MB)
 */
import { parseArgs } from "node:util";
import { Sandbox } from "@deno/sandbox";
import { quantiles, report } from "../report.ts";
import { imageBytes } from "./image-bytes.ts";
import { ownPlatform } from "./own-platform.ts";

const { values } = parseArgs({
  options: {
    small: { type: "string", default: "50" },
    large: { type: "string", default: "5000" },
    rounds: { type: "string", default: "9" },
    json: { type: "boolean" },
  },
});
const rounds = Number(values.rounds);
const maxRatio = 1.5;
/** What one more snapshot of unchanged data may take: an empty image of four clusters, and what the round wrote. */
const maxBytesASnapshot = 8e6;

/** Past the guest's cache, or the guest would have to hold it all. */
const fill = `
import mmap, os, sys
path, size = sys.argv[1], int(sys.argv[2])
piece = 4 << 20
buffer = mmap.mmap(-1, piece)
buffer.write(os.urandom(4096) * (piece // 4096))
file = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_DIRECT, 0o644)
for _ in range(-(-size // piece)):
    os.write(file, buffer)
os.fsync(file)
`;

await using own = await ownPlatform({ pool: { size: 0 } });
const { home, client } = own;

interface Subject {
  readonly id: string;
  readonly slug: string;
  readonly mounted: number[];
  readonly detached: number[];
  /** Growth of the host's images by each snapshot, bytes. */
  readonly grown: number[];
}

async function snapshot(subject: Subject, into: "mounted" | "detached", number: number): Promise<void> {
  const before = imageBytes(home);
  const started = performance.now();
  await client.volumes.snapshot(subject.id, { slug: `${subject.slug}-${into.slice(0, 1)}-${number}` });
  subject[into].push(performance.now() - started);
  subject.grown.push(imageBytes(home) - before);
}

async function make(name: string, megabytes: number): Promise<Subject> {
  const capacity = `${Math.max(300, Math.ceil(megabytes * 1.3))}MB` as const;
  const { id } = await client.volumes.create({ slug: name, region: "ord", capacity });
  return { id, slug: name, mounted: [], detached: [], grown: [] };
}

const sizes = { small: Number(values.small), large: Number(values.large) };
const small = await make("small", sizes.small);
const large = await make("large", sizes.large);
const sandbox = await Sandbox.create({ volumes: { "/small": small.id, "/large": large.id }, timeout: "29m" });
const begun = performance.now();
for (const subject of [small, large]) {
  const bytes = String(sizes[subject.slug as "small" | "large"] * 1e6);
  await sandbox.sh`sudo python3 -c ${fill} ${`/${subject.slug}/content`} ${bytes} && sync`;
}
const filled = (performance.now() - begun) / 1000;
const held = Number(await sandbox.sh`stat -c %b /large/content`.text()) * 512;
if (held < sizes.large * 1e6) throw new Error(`The large volume holds only ${held} bytes.`);
for (let round = 0; round < rounds; round++) {
  // Something new in every snapshot, and neither always first.
  await sandbox.sh`for v in small large; do head -c 100000 /dev/urandom | sudo tee /$v/new > /dev/null; done; sync`;
  for (const subject of round % 2 === 0 ? [small, large] : [large, small]) await snapshot(subject, "mounted", round);
}
await sandbox.kill();
for (let round = 0; round < rounds; round++) {
  for (const subject of round % 2 === 0 ? [large, small] : [small, large]) await snapshot(subject, "detached", round);
}
const p50 = (samples: readonly number[]) => quantiles(samples).p50;
const ratios = {
  mounted: p50(large.mounted) / p50(small.mounted),
  detached: p50(large.detached) / p50(small.detached),
};
const most = Math.max(...small.grown, ...large.grown);
report({
  "large volume holds, bytes": String(held),
  "filled in, s": filled,
  ...Object.fromEntries(
    [small, large].flatMap(({ slug, mounted, detached }) => [
      [`${slug}, mounted, first ms`, mounted[0]!],
      [`${slug}, mounted, p50 ms`, p50(mounted)],
      [`${slug}, detached, p50 ms`, p50(detached)],
    ]),
  ),
  "large / small, mounted, p50": ratios.mounted,
  "large / small, detached, p50": ratios.detached,
  "snapshots of the large volume": large.grown.length,
  "allocated for all images, bytes": String(imageBytes(home)),
  "allocated by one snapshot at most, bytes": String(most),
});
if (ratios.mounted > maxRatio || ratios.detached > maxRatio || most > maxBytesASnapshot) {
  console.error(`Missed: a ratio of at most ${maxRatio}, and ${maxBytesASnapshot} bytes a snapshot.`);
  process.exitCode = 1;
}

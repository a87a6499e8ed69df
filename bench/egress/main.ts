/**
 * The egress proxy against no proxy and against mitmproxy: `node bench/egress/main.ts`. Client, host and proxy share
 * this machine, so figures compare ways with each other and say little by themselves. A machine's speed drifts: all ways take their
 * turns in each round, what is compared are those of one round, and the medians of all rounds are what counts.
 */
import { fork, spawnSync } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import { connect as tlsConnect } from "node:tls";
import {
  makeSecret,
  startHarness,
  upstreamAuthority,
  type Harness,
} from "../../packages/egress/src/testing/harness.ts";
import { Way, type Figures } from "./measure.ts";
import { startMitmproxy } from "./mitmproxy.ts";
import { startPipe } from "./pipe.ts";

// Otherwise the client spends more time on collecting what it was sent than any of the ways on sending it.
const flags = ["--max-semi-space-size=1", "--single-threaded-gc"];
if (!flags.every((flag) => process.execArgv.includes(flag))) {
  const { status } = spawnSync(process.execPath, [...flags, ...process.argv.slice(1)], { stdio: "inherit" });
  process.exit(status ?? 1);
}

const rounds = Number(process.env["BENCH_ROUNDS"] ?? 7);
const load = { connections: 16, duration: 1500, size: 256 * 2 ** 20 };
const upstream = fork(join(import.meta.dirname, "upstream.ts"), { execArgv: [] });
upstream.send(await upstreamAuthority.issue(["api.test"]));
const [port] = (await once(upstream, "message")) as [number];
const resolve = { "api.test": `127.0.0.1:${port}` };

interface Running {
  readonly way: Way;
  readonly figures: Figures[];
  /** Ends what is between client and host. */
  close(): Promise<void>;
}

const ways = new Map<string, Running>();

function add(
  name: string,
  connect: () => Promise<Duplex>,
  between?: { readonly pid: number | undefined; close(): Promise<void> },
  headers: Record<string, string> = {},
): void {
  const way = new Way({ connect, headers, pid: between?.pid }, load);
  ways.set(name, { way, figures: [], close: async () => between?.close() });
}

/** @param ca of the host where the proxy does not take its place */
function addHarness(name: string, harness: Harness, headers: Record<string, string> = {}, ca?: string): void {
  add(
    name,
    () => harness.guest.connectTls("api.test:443", ca === undefined ? {} : { ca }),
    { pid: harness.guard.workerPids[0], close: () => harness.close() },
    headers,
  );
}

try {
  add("direct", async () => {
    const socket = tlsConnect({
      port,
      host: "127.0.0.1",
      servername: "api.test",
      ca: upstreamAuthority.certificatePem,
    });
    await once(socket, "secureConnect");
    return socket;
  });
  const pipe = await startPipe(port);
  add("TLS ended, nothing read", () => pipe.guest.connectTls("api.test:443"), pipe);
  const ca = upstreamAuthority.certificatePem;
  addHarness("caisson, passed through", await startHarness({ resolve }), {}, ca);
  addHarness("caisson, intercepted", await startHarness({ resolve, policy: { allow: ["api.test"] } }));
  const secrets = Array.from({ length: 5 }, (_, index) => makeSecret(["api.test"], { name: `KEY_${index}` }));
  const authorization = `Bearer ${secrets[0]!.placeholder}`;
  const guarded = await startHarness({ resolve, secrets, policy: { allow: ["api.test"] } });
  addHarness("caisson, five secrets", guarded, { authorization });
  const program = process.env["MITMDUMP"];
  if (program !== undefined) {
    const mitmproxy = await startMitmproxy(program, upstreamAuthority.certificatePem, port);
    add("mitmproxy", () => mitmproxy.connect(), mitmproxy);
  }
  for (let round = 0; round <= rounds; round++) {
    for (const { way, figures } of ways.values()) {
      const measured = await way.round();
      // The first warms everything up.
      if (round > 0) figures.push(measured);
    }
  }
  show();
  compare();
} finally {
  for (const running of ways.values()) {
    await running.way.close();
    await running.close();
  }
  upstream.disconnect();
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1] ?? Number.NaN;
}

function show(): void {
  for (const [name, { figures }] of ways) {
    const of = (figure: keyof Figures): number => median(figures.map((round) => round[figure]));
    const wall = `${of("requestsPerSecond").toFixed(0).padStart(6)} req/s  p50 ${of("p50").toFixed(1)} ms  p99 ${of("p99").toFixed(1)} ms  ${of("megabytesPerSecond").toFixed(0)} MB/s`;
    const cpu = Number.isNaN(of("cpuPerRequest"))
      ? ""
      : `  processor: ${of("cpuPerRequest").toFixed(0)} us/req  ${of("cpuPerMegabyte").toFixed(2)} ms/MB`;
    console.log(`${name.padEnd(26)} ${wall}${cpu}`);
  }
}

/** Of each round the ratio; the median of these, and the least and the greatest. */
function ratio(a: string, b: string, figure: keyof Figures): string {
  const [above, below] = [ways.get(a)?.figures, ways.get(b)?.figures];
  if (above === undefined || below === undefined) return "not measured";
  const all = above.map((round, index) => round[figure] / below[index]![figure]);
  return `${median(all).toFixed(2)} (rounds ${Math.min(...all).toFixed(2)} to ${Math.max(...all).toFixed(2)})`;
}

function compare(): void {
  console.log(`${rounds} rounds; medians, and of ratios the least and the greatest:`);
  console.log(
    `requests, five secrets / mitmproxy: ${ratio("caisson, five secrets", "mitmproxy", "requestsPerSecond")} (goal 3)`,
  );
  console.log(
    `large body, five secrets / direct: ${ratio("caisson, five secrets", "direct", "megabytesPerSecond")} (goal 0.40)`,
  );
  console.log(
    `large body, TLS ended and nothing read / direct: ${ratio("TLS ended, nothing read", "direct", "megabytesPerSecond")}`,
  );
  console.log(
    `large body, five secrets / none: ${ratio("caisson, five secrets", "caisson, intercepted", "megabytesPerSecond")} (goal 0.75)`,
  );
  console.log(
    `requests, five secrets / none: ${ratio("caisson, five secrets", "caisson, intercepted", "requestsPerSecond")} (goal 0.75)`,
  );
}

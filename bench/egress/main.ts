/**
 * The egress proxy against no proxy and against mitmproxy: `node bench/egress/main.ts`. Client, host and proxy share
 * this machine, so figures compare ways with each other and say little by themselves.
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
import { measure, type Figures } from "./measure.ts";
import { startMitmproxy } from "./mitmproxy.ts";
import { startPipe } from "./pipe.ts";

// Otherwise the client spends more time on collecting what it was sent than any of the ways on sending it.
const flags = ["--max-semi-space-size=1", "--single-threaded-gc"];
if (!flags.every((flag) => process.execArgv.includes(flag))) {
  const { status } = spawnSync(process.execPath, [...flags, ...process.argv.slice(1)], { stdio: "inherit" });
  process.exit(status ?? 1);
}

const options = { connections: 16, duration: Number(process.env["BENCH_MS"] ?? 4000), size: 256 * 2 ** 20 };
const upstream = fork(join(import.meta.dirname, "upstream.ts"), { execArgv: [] });
upstream.send(await upstreamAuthority.issue(["api.test"]));
const [port] = (await once(upstream, "message")) as [number];
const resolve = { "api.test": `127.0.0.1:${port}` };
const results = new Map<string, Figures>();

async function way(
  name: string,
  connect: () => Promise<Duplex>,
  headers: Record<string, string> = {},
  pid?: number,
): Promise<void> {
  const figures = await measure({ ...options, connect, headers, ...(pid !== undefined && { pid }) });
  results.set(name, figures);
  const { requestsPerSecond, p50, p99, megabytesPerSecond, cpuPerRequest, cpuPerMegabyte } = figures;
  const wall = `${requestsPerSecond.toFixed(0).padStart(6)} req/s  p50 ${p50.toFixed(1)} ms  p99 ${p99.toFixed(1)} ms  ${megabytesPerSecond.toFixed(0)} MB/s`;
  const cpu =
    pid === undefined ? "" : `  processor: ${cpuPerRequest.toFixed(0)} us/req  ${cpuPerMegabyte.toFixed(2)} ms/MB`;
  console.log(`${name.padEnd(26)} ${wall}${cpu}`);
}

async function throughHarness(
  name: string,
  harness: Harness,
  headers: Record<string, string> = {},
  ca?: string,
): Promise<void> {
  try {
    await way(
      name,
      () => harness.guest.connectTls("api.test:443", ca === undefined ? {} : { ca }),
      headers,
      harness.guard.workerPids[0],
    );
  } finally {
    await harness.close();
  }
}

try {
  await way("direct", async () => {
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
  try {
    await way("TLS ended, nothing read", () => pipe.guest.connectTls("api.test:443"), {}, pipe.pid);
  } finally {
    await pipe.close();
  }
  const ca = upstreamAuthority.certificatePem;
  await throughHarness("caisson, passed through", await startHarness({ resolve }), {}, ca);
  await throughHarness("caisson, intercepted", await startHarness({ resolve, policy: { allow: ["api.test"] } }));
  const secrets = Array.from({ length: 5 }, (_, index) => makeSecret(["api.test"], { name: `KEY_${index}` }));
  const authorization = `Bearer ${secrets[0]!.placeholder}`;
  await throughHarness(
    "caisson, five secrets",
    await startHarness({ resolve, secrets, policy: { allow: ["api.test"] } }),
    { authorization },
  );
  const program = process.env["MITMDUMP"];
  if (program !== undefined) {
    const mitmproxy = await startMitmproxy(program, upstreamAuthority.certificatePem, port);
    try {
      await way("mitmproxy", () => mitmproxy.connect(), {}, mitmproxy.pid);
    } finally {
      await mitmproxy.close();
    }
  }
  compare();
} finally {
  upstream.disconnect();
}

function compare(): void {
  const ratio = (a: string, b: string, figure: keyof Figures): string =>
    ((results.get(a)?.[figure] ?? Number.NaN) / (results.get(b)?.[figure] ?? Number.NaN)).toFixed(2);
  console.log(
    `processor time a request, mitmproxy / five secrets: ${ratio("mitmproxy", "caisson, five secrets", "cpuPerRequest")}`,
  );
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

/** One way to the host, measured: many small requests, one large body. The client is the same for every way. */
import type { Duplex } from "node:stream";
import { processorMilliseconds } from "@caisson/testing";
import { Client } from "undici";

/** What one round of a way gave. */
export interface Figures {
  readonly requestsPerSecond: number;
  /** Milliseconds. */
  readonly p50: number;
  readonly p99: number;
  readonly megabytesPerSecond: number;
  /** Processor time of the proxy, where there is one: microseconds a request, milliseconds a megabyte. */
  readonly cpuPerRequest: number;
  readonly cpuPerMegabyte: number;
}

export interface WayOptions {
  /** A TLS connection to the host, ready for HTTP/1.1. */
  readonly connect: () => Promise<Duplex>;
  readonly headers: Record<string, string>;
  /** The proxy's process. */
  readonly pid: number | undefined;
}

export interface Load {
  readonly connections: number;
  /** Milliseconds of small requests. */
  readonly duration: number;
  /** Bytes of the large body. */
  readonly size: number;
}

/** One way to the host, with its connections, which stay open from round to round. */
export class Way {
  readonly #options: WayOptions;
  readonly #load: Load;
  readonly #clients: readonly Client[];

  constructor(options: WayOptions, load: Load) {
    this.#options = options;
    this.#load = load;
    this.#clients = Array.from({ length: load.connections }, () => openClient(options.connect));
  }

  async round(): Promise<Figures> {
    const { pid, headers } = this.#options;
    const { duration, size } = this.#load;
    const before = processorTime(pid);
    const times = await requests(this.#clients, headers, duration);
    const between = processorTime(pid);
    times.sort((a, b) => a - b);
    const at = (share: number): number =>
      times[Math.min(times.length - 1, Math.floor(times.length * share))] ?? Number.NaN;
    const megabytesPerSecond = await download(this.#clients[0]!, headers, size);
    return {
      requestsPerSecond: (times.length / duration) * 1000,
      p50: at(0.5),
      p99: at(0.99),
      megabytesPerSecond,
      cpuPerRequest: ((between - before) / times.length) * 1000,
      cpuPerMegabyte: ((processorTime(pid) - between) / size) * 1e6,
    };
  }

  async close(): Promise<void> {
    await Promise.all(this.#clients.map((client) => client.destroy()));
  }
}

const processorTime = (pid: number | undefined): number =>
  pid === undefined ? Number.NaN : processorMilliseconds(pid);

function openClient(connect: WayOptions["connect"]): Client {
  return new Client("https://api.test", {
    pipelining: 1,
    // Longer than a round.
    keepAliveTimeout: 60_000,
    connect: (_, callback) => {
      connect().then(
        (socket) => callback(null, socket as never),
        (error: Error) => callback(error, null),
      );
    },
  });
}

async function requests(
  clients: readonly Client[],
  headers: Record<string, string>,
  duration: number,
): Promise<number[]> {
  const until = performance.now() + duration;
  const times: number[] = [];
  await Promise.all(
    clients.map(async (client) => {
      while (performance.now() < until) {
        const began = performance.now();
        const { statusCode, body } = await client.request({ method: "GET", path: "/", headers });
        await body.dump();
        if (statusCode !== 200) throw new Error(`The host answered ${statusCode}`);
        times.push(performance.now() - began);
      }
    }),
  );
  return times;
}

async function download(client: Client, headers: Record<string, string>, size: number): Promise<number> {
  const began = performance.now();
  const { body } = await client.request({ method: "GET", path: `/?size=${size}`, headers });
  let bytes = 0;
  for await (const chunk of body) bytes += (chunk as Buffer).length;
  if (bytes !== size) throw new Error(`${bytes} of ${size} bytes arrived`);
  return bytes / 1e6 / ((performance.now() - began) / 1000);
}

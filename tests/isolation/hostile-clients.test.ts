/**
 * Clients with a valid token that try to end the server, or to keep it from serving others: by what they send, and by what they do not
 * read. Its memory stays under the documented bound, its event loop is never blocked for long, and a neighbour's calls are answered.
 */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { Worker } from "node:worker_threads";
import { Sandbox } from "@deno/sandbox";
import {
  longestPause,
  processCounters,
  startPlatform,
  type PlatformProcess,
  until,
  WireClient,
  within,
} from "@caisson/testing";

/** See docs/security/limits.md: what one organisation can add to the server's memory, bytes. */
const memoryBound = 1024 * 2 ** 20;
/** Milliseconds that each attack goes on. */
const duration = Number(process.env["CAISSON_TEST_ATTACK_MS"] ?? 600);

let platform: PlatformProcess;
/** Of another organisation. */
let neighbour: Worker;
/** How long its calls take while nobody attacks, milliseconds. */
let undisturbed: number[];
let victim: WireClient;
let base: number;

before(async () => {
  platform = await startPlatform({ config: { pool: { size: 0 } } });
  Object.assign(process.env, platform.env);
  operator("orgs.ts", "create", "neighbours");
  const token = operator("tokens.ts", "create", "neighbours", "test");
  neighbour = new Worker(new URL("neighbour-thread.ts", import.meta.url), {
    workerData: { ...platform.env, DENO_DEPLOY_TOKEN: token },
  });
  await once(neighbour, "message");
  victim = await WireClient.open({ env: platform.env });
  const file = { path: "/home/app/large", options: { create: true } };
  assert.ok((await victim.call("spawn", { command: "truncate", args: ["-s", "70M", file.path] })) !== undefined);
  await sleep(1000);
  await loopLag();
  undisturbed = await answerTimes(duration);
  base = rss();
});
after(async () => {
  await neighbour?.terminate();
  await platform?.stop();
});

/** Standard output of an operator's command. */
function operator(command: string, ...args: string[]): string {
  const script = join(import.meta.dirname, "../../packages/platform/src", command);
  const env = { ...process.env, CAISSON_HOME: platform.home };
  return execFileSync(process.execPath, [script, ...args], { env, encoding: "utf8" }).trim();
}

/**
 * How long the neighbour's calls take, one after the other, milliseconds, sorted.
 * @param span milliseconds @param meanwhile is called again and again
 */
async function answerTimes(span: number, meanwhile?: () => void): Promise<number[]> {
  const timer = setInterval(() => meanwhile?.(), 10);
  neighbour.postMessage(span);
  try {
    return ((await once(neighbour, "message")) as [number[]])[0];
  } finally {
    clearInterval(timer);
  }
}

const percentile = (sorted: readonly number[], part: number) => sorted[Math.floor((sorted.length - 1) * part)]!;

const rss = () => processCounters(platform.pid).residentBytes;
const more = () => WireClient.open({ env: platform.env, id: victim.sandboxId });
const request = (id: number, method: string, params: string) =>
  `{"jsonrpc":"2.0","id":${id},"method":"${method}","params":${params}}`;

/** The longest time that the event loop was blocked since the last call, milliseconds. */
async function loopLag(): Promise<number> {
  const text = await (await fetch(`${platform.env.DENO_DEPLOY_ENDPOINT}/metrics`)).text();
  return Number(/^nodejs_eventloop_lag_max_seconds (\S+)/m.exec(text)![1]) * 1000;
}

/** @param attack begins it, and returns how to end it */
function attack(name: string, begin: () => Promise<() => void>): void {
  test(name, { timeout: 60_000 }, async () => {
    const end = await begin();
    let peak = 0;
    const times = await answerTimes(duration, () => (peak = Math.max(peak, rss())));
    const lag = await loopLag();
    end();
    const megabytes = Math.round((peak - base) / 2 ** 20);
    const compared = [0.5, 0.99].map(
      (part) => `${percentile(times, part).toFixed(1)} (before ${percentile(undisturbed, part).toFixed(1)})`,
    );
    console.log(
      `${name}: +${megabytes} MiB, blocked ${Math.round(lag)} ms; ${times.length} calls of the neighbour, p50 ${compared[0]} ms, p99 ${compared[1]} ms`,
    );
    assert.ok(peak - base < memoryBound, `${megabytes} MiB`);
    assert.ok(lag < longestPause, `the event loop was blocked for ${Math.round(lag)} ms`);
    await sleep(300);
    await loopLag();
  });
}

/** Sends the frames from several connections, again and again when they were sent, and reads nothing. */
function flood(frames: (() => string | Buffer)[], sockets = 1): () => Promise<() => void> {
  return async () => {
    const clients = await Promise.all(Array.from({ length: sockets }, more));
    let ended = false;
    for (const client of clients) {
      client.socket.pause();
      const send = () => {
        if (ended || client.socket.readyState !== client.socket.OPEN) return;
        for (const frame of frames.slice(0, -1)) client.socket.send(frame());
        client.socket.send(frames.at(-1)!(), send);
      };
      send();
    }
    return () => {
      ended = true;
      for (const client of clients) client.socket.terminate();
    };
  };
}

const ones = (bytes: number) => "1,".repeat(bytes / 2) + "1";
const text = (frame: string) => () => frame;

attack("5 MB of wrong arguments", flood([text(request(1, "spawn", `{"command":"x","args":[${ones(5e6)}]}`))]));
attack("20 MB of wrong arguments", flood([text(request(1, "spawn", `{"command":"x","args":[${ones(20e6)}]}`))]));
attack(
  "wrong arguments, as many as are parsed",
  flood([text(request(1, "spawn", `{"command":"x","args":[${ones(5.2e5)}]}`))], 4),
);
attack("1 MB of wrong arguments", flood([text(request(1, "spawn", `{"command":"x","args":[${ones(1e6)}]}`))], 4));
attack(
  "wrong script arguments",
  flood([text(request(1, "spawnDeno", `{"code":"x","scriptArgs":[${ones(5.2e5)}]}`))], 4),
);
attack(
  "95 MB in a parameter that nobody knows",
  flood([text(request(1, "stat", `{"path":"/","x":[${"{},".repeat(31e6)}1]}`))]),
);
attack(
  "60 large files that nobody reads",
  flood(Array.from({ length: 60 }, (_, id) => text(request(id, "readFile", '{"path":"/home/app/large"}')))),
);
attack(
  "60 large files on ten connections",
  flood(
    Array.from({ length: 60 }, (_, id) => text(request(id, "readFile", '{"path":"/home/app/large"}'))),
    10,
  ),
);
attack(
  "thousands of small calls that nobody reads",
  flood(
    Array.from({ length: 500 }, (_, id) => text(request(id, "envToObject", "{}"))),
    8,
  ),
);
attack(
  "contents for a file that does not exist",
  flood([text(request(1, "writeFile", `{"path":"/none/x","content":"${"QUJD".repeat(23e6)}"}`))], 2),
);
attack(
  "text with nothing but escapes",
  flood([text(request(1, "writeTextFile", `{"path":"/none/x","content":"${'\\"'.repeat(45e6)}"}`))]),
);
attack(
  "data of a stream that nobody reads",
  flood(
    [
      text('{"jsonrpc":"2.0","method":"$sandbox.stream.start","params":{"streamId":1}}'),
      text(request(1, "spawn", '{"command":"sleep","args":["100"],"stdinStreamId":1}')),
      text(
        `{"jsonrpc":"2.0","method":"$sandbox.stream.enqueue","params":{"streamId":1,"data":"${"QUJD".repeat(5e6)}"}}`,
      ),
    ],
    6,
  ),
);
attack(
  "output of processes that nobody reads",
  flood(
    Array.from({ length: 20 }, (_, id) => text(request(id, "spawn", '{"command":"yes"}'))),
    2,
  ),
);

attack("halves of large messages", async () => {
  // Programs of the attack before hold memory of the sandbox until they end.
  await victim.call("spawn", { command: "pkill", args: ["-9", "yes"] });
  await until(20_000, "memory for connections", async () => {
    const socket = await rawSocket().catch(() => undefined);
    return socket?.destroy();
  });
  const sockets = await Promise.all(Array.from({ length: 20 }, rawSocket));
  for (const socket of sockets) socket.write(Buffer.concat([header(1, 95e6), Buffer.alloc(47e6, 0x20)]));
  return () => sockets.forEach((socket) => socket.destroy());
});

attack("messages in pieces of one byte", async () => {
  const socket = await rawSocket();
  const piece = Buffer.concat([Buffer.from([0x00, 0x81, 0, 0, 0, 0]), Buffer.from(" ")]);
  socket.write(Buffer.concat([Buffer.from([0x01, 0x81, 0, 0, 0, 0]), Buffer.from(" ")]));
  return repeat(socket, Buffer.concat(Array.from({ length: 10_000 }, () => piece)));
});

attack("pings that expect pongs", async () => {
  const socket = await rawSocket();
  socket.pause();
  const ping = Buffer.concat([Buffer.from([0x89, 0x80 + 125, 0, 0, 0, 0]), Buffer.alloc(125)]);
  return repeat(socket, Buffer.concat(Array.from({ length: 500 }, () => ping)));
});

test("afterwards the sandbox of the attacks is well, and a new one can be made", { timeout: 60_000 }, async () => {
  assert.deepEqual((await victim.call("readLink", { path: "/proc/self/exe" })).result?.error, undefined);
  await using sandbox = await Sandbox.create();
  assert.equal(await sandbox.sh`echo well`.text(), "well\n");
});

/** A frame's head without a mask: the mask of zeros. */
function header(opcode: number, length: number): Buffer {
  const head = Buffer.alloc(14);
  head[0] = 0x80 | opcode;
  head[1] = 0x80 | 127;
  head.writeBigUInt64BE(BigInt(length), 2);
  return head;
}

/** A connection to the victim's sandbox, below WebSocket. */
async function rawSocket(): Promise<Socket> {
  const { hostname, port } = new URL(platform.env.DENO_SANDBOX_ENDPOINT);
  const socket = connect(Number(port), hostname);
  socket.on("error", () => undefined);
  socket.write(
    `GET /api/v3/sandbox/${victim.sandboxId}/connect HTTP/1.1\r\nhost: ${hostname}:${port}\r\nauthorization: Bearer ${platform.env.DENO_DEPLOY_TOKEN}\r\n` +
      "connection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n",
  );
  const [head] = await within(10_000, "the upgrade", firstData(socket));
  assert.match(String(head), /^HTTP\/1.1 101/);
  return socket;
}

function firstData(socket: Socket): Promise<[Buffer]> {
  return new Promise((resolve, reject) => {
    socket.once("data", (data: Buffer) => resolve([data]));
    socket.once("close", () => reject(new Error("the connection was refused")));
  });
}

function repeat(socket: Socket, data: Buffer): () => void {
  let ended = false;
  const send = () => {
    if (!ended && !socket.destroyed) socket.write(data, send);
  };
  send();
  return () => {
    ended = true;
    socket.destroy();
  };
}

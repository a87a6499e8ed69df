/**
 * Bodies of any size come through the search for secrets bit by bit as they were, and in constant memory. The size is
 * `CAISSON_TEST_BODY_MIB` (64); a GiB each: `CAISSON_TEST_BODY_MIB=1024 node --test <this file>`.
 */
import assert from "node:assert/strict";
import { createCipheriv, createHash, type Hash } from "node:crypto";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { request as httpRequest, type IncomingMessage } from "node:http";
import { after, before, test } from "node:test";
import type { Readable, Writable } from "node:stream";
import { makeSecret, startHarness, startHttps, type Harness, type Upstream } from "../../testing/harness.ts";
import { openHttp2 } from "../../testing/talk.ts";

const mib = Number(process.env["CAISSON_TEST_BODY_MIB"] ?? 64);
const block = 256 * 1024;
/** What the worker may grow by, bytes, whatever the size. */
const mayGrow = 150e6;
type Kind = "binary" | "text";

const secrets = [
  ...Array.from({ length: 4 }, (_, index) => makeSecret(["api.test"], { name: `KEY_${index}` })),
  // This one may not go to the host, so that what is sent there has to be searched as well.
  makeSecret(["other.test"], { name: "OTHER" }),
];
/** Held back to the last letter, and then not a secret after all. */
const nearly = Buffer.from(`${secrets[0]!.value.slice(0, -1)}!${secrets[4]!.placeholder.slice(0, -1)}!`);

/** Random, and the same each time; every block ends in what is nearly a secret. */
function* blocks(kind: Kind): Generator<Buffer> {
  const random = createCipheriv("aes-128-ctr", Buffer.alloc(16, kind), Buffer.alloc(16));
  const zeros = Buffer.alloc(kind === "binary" ? block : (block / 4) * 3);
  for (let left = mib * 2 ** 20; left > 0; left -= block) {
    const bytes = random.update(zeros);
    const body = kind === "binary" ? bytes : Buffer.from(bytes.toString("base64"));
    nearly.copy(body, body.length - nearly.length);
    yield body;
  }
}

/** Writes a body as fast as it is taken; @returns its digest. */
async function send(kind: Kind, to: Writable): Promise<string> {
  const hash = createHash("sha256");
  for (const bytes of blocks(kind)) {
    hash.update(bytes);
    if (!to.write(bytes)) await once(to, "drain");
  }
  to.end();
  return hash.digest("hex");
}

async function digest(body: Readable): Promise<{ bytes: number; sha256: string }> {
  const hash: Hash = createHash("sha256");
  let bytes = 0;
  for await (const chunk of body as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    hash.update(chunk);
  }
  return { bytes, sha256: hash.digest("hex") };
}

let harness: Harness;
let upstream: Upstream;
let sent: Promise<string>;

before(async () => {
  upstream = await startHttps(["api.test"], (request, response) => {
    const kind = request.headers["x-kind"] as Kind;
    if (request.method === "GET") sent = send(kind, response);
    else void digest(request).then((result) => response.end(JSON.stringify(result)));
  });
  harness = await startHarness({
    policy: { allow: ["api.test", "other.test"] },
    resolve: { "api.test": `127.0.0.1:${upstream.port}` },
    secrets,
  });
});

after(async () => {
  await harness.close();
  await upstream.close();
});

/** Bytes: now, and at most so far (proc_pid_status(5)). */
async function resident(): Promise<{ now: number; most: number }> {
  const status = await readFile(`/proc/${harness.guard.workerPids[0]}/status`, "utf8");
  const of = (name: string): number => Number(new RegExp(`${name}:\\s+(\\d+) kB`).exec(status)![1]) * 1024;
  return { now: of("VmRSS"), most: of("VmHWM") };
}

let first: number | undefined;
for (const kind of ["binary", "text"] as const) {
  for (const way of ["HTTP/1.1 down", "HTTP/2 down", "HTTP/1.1 up"] as const) {
    test(`${mib} MiB of ${kind}, ${way}`, async (context) => {
      first ??= (await resident()).now;
      const began = performance.now();
      if (way === "HTTP/1.1 up") {
        const socket = await harness.guest.connectTls("api.test:443");
        const headers = { host: "api.test", "x-kind": kind, "content-length": mib * 2 ** 20 };
        const outgoing = httpRequest({ createConnection: () => socket, method: "POST", headers, setHost: false });
        const answer = once(outgoing, "response") as Promise<[IncomingMessage]>;
        const expected = await send(kind, outgoing);
        const text = (await (await answer)[0].setEncoding("utf8").toArray()).join("");
        socket.destroy();
        assert.deepEqual(JSON.parse(text), { bytes: mib * 2 ** 20, sha256: expected });
      } else if (way === "HTTP/2 down") {
        const session = await openHttp2(harness.guest, "api.test");
        const got = await digest(session.request({ ":path": "/", "x-kind": kind }));
        session.destroy();
        assert.deepEqual(got, { bytes: mib * 2 ** 20, sha256: await sent });
      } else {
        const socket = await harness.guest.connectTls("api.test:443");
        const headers = { host: "api.test", "x-kind": kind };
        const outgoing = httpRequest({ createConnection: () => socket, headers, setHost: false }).end();
        const [answer] = (await once(outgoing, "response")) as [IncomingMessage];
        const got = await digest(answer);
        socket.destroy();
        assert.deepEqual(got, { bytes: mib * 2 ** 20, sha256: await sent });
      }
      const { most } = await resident();
      const rate = (mib * 1.048576) / ((performance.now() - began) / 1000);
      context.diagnostic(
        `${rate.toFixed(0)} MB/s; worker ${Math.round(most / 1e6)} MB at most, ${Math.round(first / 1e6)} MB before`,
      );
      assert.ok(most - first < mayGrow, `the worker grew by ${Math.round((most - first) / 1e6)} MB`);
    });
  }
}

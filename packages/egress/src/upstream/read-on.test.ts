/**
 * An upstream that answers and closes while an upload still goes on: its answer arrives although the write after it fails. The upstream is a
 * thread of its own, for which this one stands still, so that the write meets a closed connection and an answer that nobody has read.
 */
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect } from "node:net";
import { after, before, test } from "node:test";
import { Readable } from "node:stream";
import { setImmediate as turn } from "node:timers/promises";
import { connect as connectTls } from "node:tls";
import { Worker } from "node:worker_threads";
import { upstreamAuthority } from "../testing/harness.ts";
import { callHttp1 } from "./http1.ts";
import { Http1Clients } from "./http1-clients.ts";

const host = "early.test";
const answer = "HTTP/1.1 413 Content Too Large\r\nContent-Length: 9\r\nConnection: close\r\n\r\ntoo large";
/** Waits for `signals[0]`, answers, closes with the upload unread, and sets `signals[1]`. */
const server = `
const { parentPort, workerData: { identity, answer, signals } } = require("node:worker_threads");
const serve = async (socket) => {
  socket.on("error", () => {});
  await Atomics.waitAsync(signals, 0, 0).value;
  const done = () => { Atomics.store(signals, 1, 1); Atomics.notify(signals, 1); };
  socket.once("close", done);
  const end = () => socket.destroy();
  if (answer === "") end(); else socket.write(answer, end);
};
const { createServer } = require(identity ? "node:tls" : "node:net");
const listening = createServer({ ...identity, noDelay: true, pauseOnConnect: !identity }, serve);
listening.listen(0, "127.0.0.1", () => parentPort.postMessage(listening.address().port));
`;

let identity: { cert: string; key: string };
before(async () => {
  identity = await upstreamAuthority.issue([host]);
});

const workers: Worker[] = [];
after(() => Promise.all(workers.map((worker) => worker.terminate())));

/** @returns status and body, or the message of the failure */
async function upload(secure: boolean, said: string): Promise<string> {
  const signals = new Int32Array(new SharedArrayBuffer(8));
  const worker = new Worker(server, {
    eval: true,
    workerData: { identity: secure ? identity : undefined, answer: said, signals },
  });
  workers.push(worker);
  const [port] = (await once(worker, "message")) as [number];
  const clients = new Http1Clients(secure ? "https" : "http", {
    patience: 60_000,
    connect: async () => {
      const socket = secure
        ? connectTls({ host: "127.0.0.1", port, servername: host, ca: upstreamAuthority.certificatePem })
        : connect(port, "127.0.0.1");
      await once(socket, secure ? "secureConnect" : "connect");
      return socket;
    },
  });
  async function* body(): AsyncGenerator<Buffer> {
    yield Buffer.alloc(256 * 1024);
    await turn();
    await turn();
    Atomics.store(signals, 0, 1);
    Atomics.notify(signals, 0);
    assert.notEqual(Atomics.wait(signals, 1, 0, 60_000), "timed-out");
    for (let piece = 0; piece < 4; piece++) yield Buffer.alloc(16_384);
  }
  const found = await new Promise<string>((resolve) => {
    let text = "";
    callHttp1(
      clients,
      { method: "PUT", target: "/", authority: host, headers: [], body: Readable.from(body(), { objectMode: false }) },
      {
        head: (status) => void (text = `${status} `),
        data: (chunk) => void (text += chunk.toString()),
        end: () => resolve(text),
        fail: (error) => resolve(`${text}${error.message}`),
      },
    );
  });
  clients.destroy();
  return found;
}

for (const [what, secure] of [
  ["plain", false],
  ["TLS", true],
] as const) {
  test(`the answer before a reset arrives, ${what}`, async () => {
    assert.equal(await upload(secure, answer), "413 too large");
  });

  test(`without an answer the upload fails, ${what}`, async () => {
    assert.match(await upload(secure, ""), /^\D+$/);
  });
}

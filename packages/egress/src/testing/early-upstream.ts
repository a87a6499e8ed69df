/**
 * An upstream that answers and closes in the middle of an upload, at a moment that the test chooses. It is a thread of its own: the test's
 * thread stands still meanwhile, so that its next write meets a closed connection and an answer that nobody has read.
 */
import assert from "node:assert/strict";
import { once } from "node:events";
import { Worker } from "node:worker_threads";

export interface EarlyUpstream {
  readonly port: number;
  /** Returns when the connection is closed, with what was sent to it unread. */
  answerAndClose(): void;
  close(): Promise<unknown>;
}

const server = `
const { parentPort, workerData: { identity, answer, signals } } = require("node:worker_threads");
const serve = async (socket) => {
  socket.on("error", () => {});
  await Atomics.waitAsync(signals, 0, 0).value;
  socket.once("close", () => { Atomics.store(signals, 1, 1); Atomics.notify(signals, 1); });
  const end = () => socket.destroy();
  if (answer === "") end(); else socket.write(answer, end);
};
const { createServer } = require(identity ? "node:tls" : "node:net");
const listening = createServer({ ...identity, noDelay: true, pauseOnConnect: !identity }, serve);
listening.listen(0, "127.0.0.1", () => parentPort.postMessage(listening.address().port));
`;

/**
 * @param answer the bytes that it sends; empty: none
 * @param identity for TLS
 */
export async function startEarlyUpstream(
  answer: string,
  identity?: { readonly cert: string; readonly key: string },
): Promise<EarlyUpstream> {
  const signals = new Int32Array(new SharedArrayBuffer(8));
  const worker = new Worker(server, { eval: true, workerData: { identity, answer, signals } });
  const [port] = (await once(worker, "message")) as [number];
  return {
    port,
    answerAndClose() {
      Atomics.store(signals, 0, 1);
      Atomics.notify(signals, 0);
      assert.notEqual(Atomics.wait(signals, 1, 0, 60_000), "timed-out");
    },
    close: () => worker.terminate(),
  };
}

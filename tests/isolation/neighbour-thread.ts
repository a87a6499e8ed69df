/** A tenant of another organisation, in a thread of its own: what the attacker's clients do in the test's thread must not count as its waiting. */
import { parentPort, workerData } from "node:worker_threads";
import { setTimeout as sleep } from "node:timers/promises";
import { type ClientEnvironment, WireClient } from "@caisson/testing";

/** Milliseconds between two calls. */
const pause = 10;
/** Milliseconds for one answer: the end of the wait. */
const patience = 30_000;

const neighbour = await WireClient.open({ env: workerData as ClientEnvironment });
parentPort!.on("message", (span: number) => void measure(span));
parentPort!.postMessage("ready");

/** Sends how long calls take, one after the other, in milliseconds. @param span milliseconds */
async function measure(span: number): Promise<void> {
  const times: number[] = [];
  for (const until = performance.now() + span; performance.now() < until; await sleep(pause)) {
    const asked = performance.now();
    await answered(neighbour.request("envGet", { key: "HOME" }));
    times.push(performance.now() - asked);
    neighbour.frames.length = 0;
  }
  parentPort!.postMessage(times.toSorted((a, b) => a - b));
}

function answered(id: unknown): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(
      () => reject(new Error(`the neighbour had no answer within ${patience / 1000} s`)),
      patience,
    );
    const look = () => {
      if (!neighbour.frames.some(({ json }) => json?.["id"] === id)) return;
      clearTimeout(timer);
      neighbour.socket.off("message", look);
      resolve();
    };
    neighbour.socket.on("message", look);
  });
}

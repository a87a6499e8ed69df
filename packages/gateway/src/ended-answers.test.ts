/**
 * A program in a sandbox answers while the visitor reads nothing, and ends its connection. Parsers that are paused when their
 * connection ends were seen to throw where nothing catches (nodejs/undici issue 5360), which ends the whole control plane.
 */
import assert from "node:assert/strict";
import { after, afterEach, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { Duplex } from "node:stream";
import { Connections, framings, http1Answer, readAnswers } from "@caisson/testing/fuzz";
import { Stage } from "./testing/stage.ts";

let connections: Connections;
let stage: Stage;
const strays: unknown[] = [];
const onStray = (error: unknown) => void strays.push(error);

before(async () => {
  connections = await Connections.open();
  stage = await Stage.open();
  process.on("uncaughtException", onStray).on("unhandledRejection", onStray);
});
afterEach(() => assert.deepEqual(strays.splice(0), [], "the process would have ended"));
after(async () => {
  process.off("uncaughtException", onStray).off("unhandledRejection", onStray);
  await stage.close();
  connections.close();
});

/**
 * Bytes. The first lets the visitor's side be full with the very last byte of the answer: nothing is left to read then but the
 * end of the connection, which comes while the parser is paused.
 */
const sizes = [65_450, 65_536, 256 * 1024];
const body = Buffer.alloc(256 * 1024, "the body");
const ways = { "over TCP": () => connections.tcp(), "through a tunnel": () => connections.tunnel() } as const;

for (const [how, open] of Object.entries(ways)) {
  for (const framing of framings.filter((one) => one !== "switch")) {
    for (const size of sizes) {
      test(`${how}, body by ${framing}, ${size} bytes`, { timeout: 20_000 }, async () => {
        const { promise: go, resolve: release } = Promise.withResolvers<void>();
        const answer = http1Answer(framing, body.subarray(0, size));
        stage.connect = async (label) => {
          const [inside, program] = await open();
          void converse(program, label === "held" ? { until: go, answer: heldAnswer } : { answer });
          return inside;
        };
        // An answer behind another one that is held cannot be written, and so cannot be read.
        const visitor = await stage.visit();
        visitor.socket.write(["held", "large", "held"].map((label) => stage.ask("GET", label)).join(""));
        await sleep(40);
        release();
        const methods = ["GET", "GET", "GET"];
        const text = await visitor.until((bytes) => readAnswers(bytes, methods)[2]?.complete === true);
        const [, large, next] = readAnswers(text, methods);
        assert.equal(next?.status, 200, "the connection is not as it should be after the answer");
        assert.equal(large?.status, 200);
        assert.equal(large.body.length, size);
        assert.ok(large.body.equals(body.subarray(0, size)));
        visitor.socket.destroy();
      });
    }
  }
}

const heldAnswer = http1Answer("length", Buffer.from("held"));

async function converse(program: Duplex, { until, answer }: { until?: Promise<void>; answer: Buffer }): Promise<void> {
  program.on("error", () => undefined);
  await new Promise<void>((resolve) => program.once("data", () => resolve()));
  program.resume();
  await until;
  program.end(answer);
}

/**
 * Programs in sandboxes that answer visitors with anything, in any pieces, and end or break off at any place, while the visitor reads,
 * waits or leaves. Whatever they do: nothing escapes into the process, every visit ends, what visitors get is HTTP, an answer that is
 * right arrives whole, and nobody gets what was said to somebody else.
 */
import assert from "node:assert/strict";
import type { Duplex } from "node:stream";
import { after, before } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import {
  asBytes,
  Connections,
  fuzz,
  http1Answer,
  mutatedBytes,
  peerInputs,
  peerScript,
  playPeer,
  readAnswers,
  type Framing,
} from "@caisson/testing/fuzz";
import { Stage, type Visitor } from "./testing/stage.ts";

let connections: Connections;
let stage: Stage;
before(async () => {
  connections = await Connections.open();
  stage = await Stage.open();
});
after(async () => {
  await stage.close();
  connections.close();
});

/** Milliseconds after which an end is not to come any more. A busy host takes seconds for the first input. */
const patience = 10_000;
const posted = Buffer.alloc(50_000, "p");
const asks = {
  get: ["GET"],
  head: ["HEAD"],
  post: ["POST", `content-length: ${posted.length}`],
  websocket: ["GET", "connection: upgrade", "upgrade: websocket"],
} as const;
const kinds = Object.keys(asks) as (keyof typeof asks)[];
const manners = ["reads", "waits", "waits long", "leaves", "leaves late", "leaves waiting"] as const;
const kindOf = (choice: number) => kinds[choice % kinds.length]!;
const mannerOf = (choice: number) => manners[(choice >> 2) % manners.length]!;
const right = (choice: number): readonly Framing[] =>
  kindOf(choice) === "websocket"
    ? ["switch"]
    : kindOf(choice) === "head"
      ? []
      : ["length", "length-and-close", "chunked", "until-end"];
const friend = http1Answer("length", Buffer.from("what a friend says"));

fuzz({
  name: "forward",
  directory: import.meta.dirname,
  codec: asBytes,
  limit: 4 * patience,
  input: (seeds) => mutatedBytes(seeds, peerInputs),
  async check(input) {
    const script = peerScript(input, right);
    const [kind, manner] = [kindOf(script.choice), mannerOf(script.choice)];
    const { promise: held, resolve: release } = Promise.withResolvers<void>();
    const insides: Duplex[] = [];
    let asked = 0;
    let played: Promise<void> = Promise.resolve();
    stage.connect = async (label) => {
      const [inside, program] = script.tunnelled ? await connections.tunnel() : await connections.tcp();
      insides.push(inside);
      asked++;
      if (label === "foe") played = playPeer(program, script);
      else
        void (label === "held" ? held : Promise.resolve()).then(() =>
          playPeer(program, { ...script, pieces: [friend], ending: "end", early: false }),
        );
      return inside;
    };
    stage.visits.length = 0;
    const visitor = await stage.visit();
    const [method, ...lines] = asks[kind];
    const waits = manner.includes("wait") && kind !== "websocket";
    const methods = [...(waits ? ["GET"] : []), method, ...(kind === "websocket" ? [] : ["GET"])];
    // Behind an answer that is held nothing can be written: the visitor who does not read, without megabytes.
    if (waits) visitor.socket.write(stage.ask("GET", "held"));
    visitor.socket.write(stage.ask(method, "foe", ...lines));
    if (kind === "post") visitor.socket.write(posted);
    if (kind !== "websocket") visitor.socket.write(stage.ask("GET", "friend", "connection: close"));
    const done = visitor.until(() => false);
    if (manner === "leaves") {
      await sleep(1);
      visitor.socket.destroy();
    } else if (manner === "leaves waiting") {
      await sleep(4);
      visitor.socket.destroy();
    } else if (waits) {
      await sleep(manner === "waits" ? 3 : 12);
      release();
    }
    // Until its program has said all, an answer may stay without an end; a visitor would leave then.
    await Promise.race([done, sleep(script.ending === "stay" || manner === "leaves late" ? 15 : patience)]);
    const open = !visitor.socket.closed;
    assert.ok(
      !open || script.ending === "stay" || manner === "leaves late" || kind === "websocket",
      `the visit does not end: ${describe(visitor, methods)}`,
    );
    visitor.socket.destroy();
    await Promise.all([done, played]);
    await settled(() => insides.every((inside) => inside.destroyed), "a connection to a program outlives its visit");
    await settled(() => stage.visits.length >= asked, "a visit does not end");
    release();

    const answers = readAnswers(visitor.bytes, methods);
    const at = waits ? 1 : 0;
    if (waits && answers[0]?.complete) assert.equal(answers[0].body.toString(), "what a friend says");
    const last = answers[at + 1];
    if (last?.complete) assert.equal(last.body.toString(), "what a friend says", "one answer has bytes of another");
    if (script.body === undefined || manner.startsWith("leaves") || open) return;
    const answer = answers[at];
    assert.equal(answer?.status, kind === "websocket" ? 101 : 200, describe(visitor, methods));
    assert.equal(answer.body.length, script.body.length);
    assert.ok(answer.body.equals(script.body), "a right answer was changed");
    if (kind !== "websocket") assert.ok(answer.complete, "a right answer did not come whole");
  },
});

/** Ends come a little later, on other connections. */
async function settled(condition: () => boolean, otherwise: string): Promise<void> {
  for (let wait = 0; !condition(); wait++) {
    assert.ok(wait * 2 < patience, otherwise);
    await sleep(2);
  }
}

function describe(visitor: Visitor, methods: readonly string[]): string {
  return JSON.stringify({ methods, got: visitor.bytes.toString("latin1").slice(0, 600) });
}

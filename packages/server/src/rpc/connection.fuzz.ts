/**
 * Frames of a client on the WebSocket of a sandbox whose agent is real and jailed: JSON-RPC with parameters of every method, stream
 * notifications, and what is neither. The server answers or closes with a code of the contract; it never fails itself, answers nothing
 * twice, what it sends has the types of the contract, and it goes on serving.
 */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { configSchema } from "@caisson/protocol";
import { DirectoryBlobs, LocalLayers } from "@caisson/layers";
import {
  buildJailedAgent,
  checkNotification,
  checkReply,
  HostNode,
  WireClient,
  type ClientEnvironment,
} from "@caisson/testing";
import { asJson, fuzz, mutatedValue } from "@caisson/testing/fuzz";
import fc from "fast-check";
import { pino } from "pino";
import { createServer, type CaissonServer } from "../index.ts";

/** Texts are sent as they are, anything else as JSON. */
type Session = readonly unknown[];

let home: string;
let node: HostNode;
let server: CaissonServer;
let env: ClientEnvironment;
let primary: WireClient;
const key = randomBytes(32);
const faults: string[] = [];
const log = pino({ level: "error" }, { write: (line: string) => void faults.push(line) });

before(async () => {
  home = await mkdtemp(join(tmpdir(), "caisson-fuzz-"));
  node = new HostNode(
    await buildJailedAgent(home),
    new LocalLayers(join(home, "layers"), new DirectoryBlobs(join(home, "volumes", "blobs"))),
  );
  server = await createServer({
    home,
    key,
    config: configSchema.parse({ sandbox: { sessionGrace: 600 } }),
    node,
    log,
  });
  const { url } = await server.start({ host: "127.0.0.1", port: 0 });
  const { token, org } = server.development;
  env = { DENO_DEPLOY_ENDPOINT: url, DENO_SANDBOX_ENDPOINT: url, DENO_DEPLOY_TOKEN: token, DENO_DEPLOY_ORG: org };
  primary = await WireClient.open({ env });
});
after(async () => {
  primary.socket.terminate();
  await server.close("end");
  await node.close();
  await rm(home, { recursive: true });
});

const sentinel = "the last one";
/** 1000 to 1009 are of WebSocket itself (RFC 6455 7.4.1), the others of the contract. */
const closeCodes = new Set([1000, 1002, 1003, 1007, 1009, 4000, 4001]);

fuzz<Session>({
  name: "connection",
  directory: import.meta.dirname,
  codec: asJson<Session>(),
  least: 2,
  limit: 15_000,
  input: (seeds) =>
    fc.oneof(
      { weight: 5, arbitrary: mutatedValue(seeds, 3) },
      { weight: 1, arbitrary: fc.tuple(mutatedValue(seeds, 2), mutatedValue(seeds, 2)).map((two) => two.flat()) },
    ),
  async check(input) {
    const session = Array.isArray(input) ? (input as Session) : [input];
    const client = await WireClient.open({ env, id: primary.sandboxId });
    try {
      const asked = new Map<unknown, number>();
      const methodOf = new Map<unknown, string>([[sentinel, "envGet"]]);
      for (const message of session.slice(0, 300)) {
        const { jsonrpc, id, method } = Object(message) as Record<string, unknown>;
        if (jsonrpc === "2.0" && typeof method === "string" && (typeof id === "number" || typeof id === "string")) {
          asked.set(id, (asked.get(id) ?? 0) + 1);
          methodOf.set(id, method);
        }
        client.sendText(typeof message === "string" ? message : JSON.stringify(message));
      }
      client.request("envGet", { key: "HOME" }, sentinel);
      const closed = await Promise.race([client.closed, client.reply(sentinel, 12_000).then(() => undefined)]);
      if (closed !== undefined) assert.ok(closeCodes.has(closed.code), `closed with ${closed.code} ${closed.reason}`);
      // What does not wait for something in the sandbox is answered by then.
      const complete = () => closed !== undefined || client.frames.length > asked.size;
      for (let wait = 0; wait < 40 && !complete(); wait++) await sleep(5);
      const answers = new Map<unknown, number>();
      for (const { json, text } of client.frames) {
        if (text === "pong") continue;
        assert.ok(json !== undefined, "a frame is not JSON");
        assert.ok(!text.includes("Something failed inside the platform"), text);
        if ("method" in json) checkNotification(json);
        else {
          answers.set(json["id"], (answers.get(json["id"]) ?? 0) + 1);
          if (asked.get(json["id"]) === 1) checkReply(methodOf.get(json["id"])!, json);
        }
      }
      for (const [id, count] of answers)
        assert.ok(id === sentinel || count <= (asked.get(id) ?? 0), `answered too often: ${String(id)}`);
      assert.deepEqual(faults.splice(0), [], "the server calls this its own fault");
    } finally {
      client.socket.terminate();
    }
  },
});

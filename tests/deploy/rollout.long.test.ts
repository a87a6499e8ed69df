/** Twenty switches and five rollbacks of production under fifty clients, and what becomes of streams. */
import assert from "node:assert/strict";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { Agent, request } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { Client } from "@deno/sandbox";
import { holdings, pause, startPlatform, until, type PlatformProcess } from "@caisson/testing";
import { WebSocket } from "ws";
import { call, deployProgram, addressOf } from "./assets.ts";

const clients = 50;
/** Milliseconds between two visits of a client. */
const pauseOfClient = 500;
/** Seconds. */
const drainTimeout = 10;
/** All clients come from one address. */
const gateway = {
  requestsPerAddress: 1e6,
  requestsPerSandbox: 1e6,
  handshakesPerAddress: 1e4,
  connectionsPerAddress: 1000,
};
const config = { serving: { drainTimeout, workTimeout: 1, startTimeout: 600 }, gateway };
const home = await mkdtemp(join(tmpdir(), "csn-"));
let platform: PlatformProcess;
let client: Client;
let ca: Buffer;
let domain: string;
const ids: string[] = [];

/** An answer comes in pieces, so that a switch can fall between them; a stream and a WebSocket go on. */
const program = (word: string) => `
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
const encode = (text: string) => new TextEncoder().encode(text);
Deno.serve((request) => {
  const { pathname } = new URL(request.url);
  if (pathname === "/socket") {
    const { socket, response } = Deno.upgradeWebSocket(request);
    socket.onmessage = ({ data }) => socket.send("${word} " + data);
    return response;
  }
  const pieces = pathname === "/events" ? Infinity : 4;
  let left = true;
  const body = new ReadableStream({
    async start(controller) {
      for (let i = 0; i < pieces && left; i++) {
        controller.enqueue(encode(pieces === 4 ? "${word}\\n" : "data: ${word} " + i + "\\n\\n"));
        await pause(pieces === 4 ? 10 : 100);
      }
      if (left) controller.close();
    },
    cancel() { left = false; },
  });
  return new Response(body, { headers: { "content-type": pieces === 4 ? "text/plain" : "text/event-stream" } });
});`;

before(
  async () => {
    platform = await startPlatform({ home, config });
    Object.assign(process.env, platform.env);
    client = new Client();
    ca = await readFile(join(home, "gateway-ca.pem"));
    await client.apps.create({ slug: "rollout" });
    for (const word of ["one", "two", "three"]) {
      const { id, failure_message } = await deployProgram(client, "rollout", program(word));
      assert.equal(failure_message, null);
      ids.push(id);
    }
    domain = await addressOf(client, ids[2]!);
  },
  { timeout: 1_200_000 },
);
after(async () => {
  await platform.stop();
  assert.deepEqual(holdings(home), { processes: [], mounts: [], sockets: [], cgroups: [], loopDevices: [] });
  await rm(home, { recursive: true, force: true });
});

const address = () => {
  const [host = "", port] = domain.split(":");
  return { host: "127.0.0.1", port, servername: host, headers: { host: domain }, ca };
};

function visit(agent: Agent): Promise<string> {
  return new Promise((resolve, reject) => {
    const sent = request({ ...address(), agent }, (response) => {
      let body = "";
      response.setEncoding("utf8").on("data", (text: string) => (body += text));
      response.on("error", reject);
      response.on("end", () =>
        response.statusCode === 200 ? resolve(body) : reject(new Error(`${response.statusCode} ${body}`)),
      );
    });
    sent.on("error", reject).end();
  });
}

/** Visits all the time. `stop` answers with what was seen. */
function load() {
  const going = new AbortController();
  const agent = new Agent({ keepAlive: true, maxSockets: clients });
  const answers = new Map<string, number>();
  const failures: string[] = [];
  const done = Promise.all(
    Array.from({ length: clients }, async () => {
      while (!going.signal.aborted) {
        await visit(agent).then(
          (body) => answers.set(body, (answers.get(body) ?? 0) + 1),
          (error: unknown) => failures.push(String(error)),
        );
        // A few hundred a second in all: more would take the processor from the instances that start, where it is emulated.
        await pause(pauseOfClient);
      }
    }),
  );
  return {
    answers,
    stop: async () => {
      going.abort();
      await done;
      agent.destroy();
      return failures;
    },
  };
}

const promote = (id: string) => call(platform.env, "POST", `/api/v2/revisions/${id}/promote`);
const whole = (word: string) => `${word}\n`.repeat(4);

test(
  "20 switches and 5 rollbacks under 50 clients: none fails, and each answer is wholly of one revision",
  { timeout: 1_800_000 },
  async (t) => {
    const visits = load();
    t.after(() => visits.stop());
    const shows = async (word: string) => {
      const seen = visits.answers.get(whole(word)) ?? 0;
      await until(120_000, `an answer of ${word}`, () =>
        (visits.answers.get(whole(word)) ?? 0) > seen ? true : undefined,
      );
    };
    const words = ["one", "two", "three"];
    let switches = 0;
    // Three of them are deployments, the others take what was built before.
    for (let round = 0; switches < 20; round++) {
      if (round < 3) {
        const word = `new${round}`;
        const { id, failure_message } = await deployProgram(client, "rollout", program(word));
        assert.equal(failure_message, null);
        ids.push(id);
        words.push(word);
        await shows(word);
      } else {
        const next = round % ids.length;
        await promote(ids[next]!);
        await shows(words[next]!);
      }
      switches++;
    }
    const back: number[] = [];
    for (let i = 0; i < 5; i++) {
      const began = performance.now();
      await promote(ids[i]!);
      back.push(performance.now() - began);
      await shows(words[i]!);
    }
    const failures = await visits.stop();
    const total = [...visits.answers.values()].reduce((sum, count) => sum + count, 0);
    t.diagnostic(
      `${total} answers, ${failures.length} failures; rollbacks took ${back.map((ms) => (ms / 1000).toFixed(1)).join(", ")} s`,
    );
    assert.deepEqual(failures, []);
    assert.deepEqual([...visits.answers.keys()].toSorted(), words.map(whole).toSorted());
    assert.ok(total > 500);
  },
);

test(
  "a stream of events and a WebSocket go on after a switch, and are cut after the drain time",
  { timeout: 900_000 },
  async (t) => {
    await promote(ids[0]!);
    const agent = new Agent();
    let events = "";
    let eventsEnded: number | undefined;
    const stream = request({ ...address(), path: "/events", agent }, (response) => {
      response.setEncoding("utf8").on("data", (text: string) => (events += text));
      for (const name of ["error", "end", "close"]) response.on(name, () => (eventsEnded ??= performance.now()));
    });
    stream.on("error", () => undefined).end();
    const [host = ""] = domain.split(":");
    const socket = new WebSocket(`wss://${domain}/socket`, {
      ca,
      servername: host,
      lookup: (_name: string, _options: unknown, found: (...args: unknown[]) => void) =>
        found(null, [{ address: "127.0.0.1", family: 4 }]),
    } as never);
    let socketEnded: number | undefined;
    const echoes: string[] = [];
    socket.on("message", (data: Buffer) => echoes.push(data.toString()));
    socket.on("error", () => undefined).on("close", () => (socketEnded ??= performance.now()));
    await until(60_000, "both", () => events.includes("one 3") && socket.readyState === WebSocket.OPEN);
    await promote(ids[1]!);
    const switched = performance.now();
    const before = events.length;
    socket.send("after");
    await until(60_000, "more of both", () => events.length > before && echoes.length > 0);
    assert.deepEqual(echoes, ["one after"]);
    assert.match(await visit(new Agent()), /^two\n/);
    await until(120_000, "the end of both", () => eventsEnded !== undefined && socketEnded !== undefined);
    t.diagnostic(
      `after the switch the stream lasted ${((eventsEnded! - switched) / 1000).toFixed(1)} s, the WebSocket ${((socketEnded! - switched) / 1000).toFixed(1)} s`,
    );
    assert.ok(!events.includes("two"));
  },
);

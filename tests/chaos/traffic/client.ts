/** A client process: two actors that work through the official client until they are told to pause. Argument: its name. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Sandbox } from "@deno/sandbox";
import { Random } from "../random.ts";
import { choose } from "./choose.ts";
import { type Call, callDeadline, type FromClient, type ToClient } from "./messages.ts";
import { perform } from "./operations.ts";
import { State } from "./state.ts";

const [name = "client"] = process.argv.slice(2);
/** Every process begins with other names, also after it was killed. */
const incarnation = process.pid.toString(36);
const state = new State(`${name}-${incarnation}`);
let calls = 0;
let round: AbortController | undefined;
let working: Promise<unknown> = Promise.resolve();

function send(message: FromClient): void {
  if (process.connected) process.send?.(message);
}

/** The client library leaves rejections of broken connections unhandled. */
process.on("unhandledRejection", () => undefined);
process.on("disconnect", () => process.exit(0));
process.on("message", (message: ToClient) => {
  if (message.type === "begin") {
    Object.assign(process.env, message.environment);
    round?.abort();
    round = new AbortController();
    state.begin(message.known);
    const { signal } = round;
    const random = new Random(message.seed);
    working = Promise.all([0, 1].map((actor) => work(random.fork(`${name}/${actor}`), signal)));
  } else {
    round?.abort();
    void working.then(() => send({ type: "paused" }));
  }
});

async function work(random: Random, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    const call = choose(random, state);
    // While the server is down, every call fails at once.
    if (!(await attempt(call))) await sleep(random.int(100, 500));
    await sleep(random.int(0, 60));
  }
}

async function attempt(call: Call): Promise<boolean> {
  const n = `${name}-${incarnation}-${++calls}`;
  state.called(call);
  send({ type: "call", n, call });
  let hung = false;
  const limit = new AbortController();
  try {
    const late = sleep(callDeadline, undefined, { signal: limit.signal }).then(() => {
      hung = true;
      throw new Error(`no answer within ${callDeadline} ms`);
    });
    late.catch(() => undefined);
    const value = await Promise.race([
      perform(call, {
        get: (label) => state.connection(label),
        add: (label, sandbox, session) => add(label, sandbox, session),
      }),
      late,
    ]);
    state.answered(call, value);
    send({ type: "ok", n, ...(value !== undefined && { value }) });
    return true;
  } catch (error) {
    state.failed(call, String(error));
    send({ type: "failed", n, error: String(error).slice(0, 500), hung });
    return false;
  } finally {
    limit.abort();
  }
}

function add(label: string, sandbox: Sandbox, session: boolean): void {
  state.connected(label, sandbox, session);
  sandbox.closed.then(
    () => closed(label, sandbox),
    () => closed(label, sandbox),
  );
}

function closed(label: string, sandbox: Sandbox): void {
  if (state.closed(label, sandbox)) send({ type: "closed", sandbox: label });
}

send({ type: "started" });

/**
 * A module that Deno runs before the program of a machine that will be saved. Every machine that goes on from there has the same memory,
 * and in it the state of Deno's generators of random numbers: without this, two instances would make the same UUIDs and session keys.
 */
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { CaissonError, type Agent } from "@caisson/protocol";
import { z } from "zod";
import type { Program } from "../program.ts";

/** Where the module listens, inside the machine. */
export interface Hook {
  readonly socket: string;
}

/** What keeps a program from being saved. */
const stateSchema = z.object({
  /** Threads of workers. Each has a generator of its own, which nothing can reach. */
  workers: z.int(),
  /** Processes that it started, which have generators as well. */
  children: z.int(),
  /** Its connections: no other machine could go on with them. */
  connections: z.int(),
  /** Other ends of some of them, for the log: addresses and ports as in /proc/net/tcp. */
  peers: z.array(z.string().regex(/^[0-9A-F:]{1,50}$/)).max(4),
});

export type ProgramState = z.infer<typeof stateSchema>;

/** Milliseconds. */
const answerTimeout = 10_000;
const longestAnswer = 1024;

export function newHook(): Hook {
  // Nothing else has these names by chance. A program that wants to disturb them disturbs itself.
  return { socket: `/tmp/.caisson-${randomBytes(8).toString("hex")}.sock` };
}

/** @returns the program with the module before it */
export function withHook(program: Program, { socket }: Hook): Program {
  const [run, ...args] = program.args;
  const code = Buffer.from(source(socket)).toString("base64");
  return { ...program, args: [run!, `--preload=data:application/javascript;base64,${code}`, ...args] };
}

/** Whether the program can be saved now. @throws CaissonError when it does not answer in time */
export async function askState(agent: Agent, hook: Hook): Promise<ProgramState> {
  const answer = stateSchema.safeParse(parse(await call(agent, hook, "state")));
  if (!answer.success) throw new CaissonError("guest_error", "The program's state is not as expected.");
  return answer.data;
}

/** Makes the random numbers of the program its own. @throws CaissonError when it does not confirm that in time */
export async function renewProgram(agent: Agent, hook: Hook): Promise<void> {
  if ((await call(agent, hook, "renew")) !== "renewed")
    throw new CaissonError("guest_error", "The program did not renew its random numbers.");
}

async function call(agent: Agent, { socket: path }: Hook, question: string): Promise<string> {
  const signal = AbortSignal.timeout(answerTimeout);
  try {
    const socket = await within(agent.connectUnix(path), signal);
    try {
      let answer = "";
      socket.setEncoding("utf8");
      socket.on("data", (text: string) => (answer = (answer + text).slice(0, longestAnswer)));
      socket.write(`${question}\n`);
      await once(socket, "end", { signal });
      return answer.trim();
    } finally {
      socket.destroy();
    }
  } catch (cause) {
    throw new CaissonError("guest_error", "The program does not answer.", { cause });
  }
}

/** @throws the reason of the signal; what comes later is destroyed */
async function within<T extends { destroy(): unknown }>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  const late = Promise.withResolvers<never>();
  late.promise.catch(() => undefined);
  const abort = () => {
    late.reject(signal.reason);
    void work.then(
      (result) => result.destroy(),
      () => undefined,
    );
  };
  signal.addEventListener("abort", abort, { once: true });
  return Promise.race([work, late.promise]).finally(() => signal.removeEventListener("abort", abort));
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/**
 * Deno's generator of a thread takes a new seed from the kernel after 64 KiB, so more than that is thrown away. Deno makes UUIDs 128 at a
 * time, so as many as that are thrown away after it. V8's generator cannot be given a seed: all that `Math.random` returns from now on is shifted by a random amount.
 */
function source(socket: string): string {
  return `
const path = ${JSON.stringify(socket)};
const { random } = Math;
const { crypto } = globalThis;
const randomUUID = crypto.randomUUID.bind(crypto);
const listener = Deno.listen({ transport: "unix", path });
listener.unref();

function renew() {
  const waste = new Uint8Array(65536);
  for (let i = 0; i < 3; i++) crypto.getRandomValues(waste);
  for (let i = 0; i < 256; i++) randomUUID();
  const shift = crypto.getRandomValues(new Uint32Array(1))[0] / 2 ** 32;
  if (Math.random === random) Math.random = () => (random() + shift) % 1;
  return "renewed";
}

function read(file) {
  try { return Deno.readTextFileSync(file); } catch { return ""; }
}

function state() {
  let [workers, children] = [0, 0];
  const peers = [];
  for (const { name } of Deno.readDirSync("/proc/self/task")) {
    if (read("/proc/self/task/" + name + "/comm").startsWith("worker-")) workers++;
    children += read("/proc/self/task/" + name + "/children").split(" ").filter((pid) => pid !== "").length;
  }
  for (const table of ["tcp", "tcp6"])
    for (const line of read("/proc/self/net/" + table).split("\\n")) {
      const [, , peer, state] = line.trim().split(/ +/);
      if (state === "01") peers.push(peer);
    }
  return JSON.stringify({ workers, children, connections: peers.length, peers: peers.slice(0, 4) });
}

async function serve(connection) {
  try {
    const question = new Uint8Array(64);
    const length = await connection.read(question);
    const text = new TextDecoder().decode(question.subarray(0, length ?? 0)).trim();
    await connection.write(new TextEncoder().encode((text === "renew" ? renew() : state()) + "\\n"));
  } catch {
    // Whoever asked sees that there is no answer.
  } finally {
    connection.close();
  }
}

void (async () => {
  for await (const connection of listener) void serve(connection);
})().catch(() => undefined);
`;
}

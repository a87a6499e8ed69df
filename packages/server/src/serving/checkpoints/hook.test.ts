/** With a real Deno that the real agent starts as a process of this host. */
import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { text } from "node:stream/consumers";
import { DirectoryBlobs, LocalLayers } from "@caisson/layers";
import type { Agent } from "@caisson/protocol";
import { buildAgent, HostNode, until } from "@caisson/testing";
import { pino } from "pino";
import { Workloads } from "../../workloads/workloads.ts";
import { spawnProgram } from "../launch.ts";
import { preludeOption } from "../cron/prelude.ts";
import { askState, newHook, renewProgram, withHook, type Hook } from "./hook.ts";

/** Milliseconds, on the slowest host. */
const patience = 120_000;
let home: string;
let node: HostNode;
let agent: Agent;
let hook: Hook;

before(async () => {
  home = await mkdtemp(join(tmpdir(), "caisson-hook-"));
  node = new HostNode(buildAgent(home), new LocalLayers(join(home, "layers"), new DirectoryBlobs(join(home, "blobs"))));
  const workloads = new Workloads({ node, log: pino({ level: "silent" }) });
  const plan = { id: "ins_hook", kind: "instance", orgId: "o", memory: 1, vcpus: 1, disks: { volumes: [] } } as const;
  const variables = { PATH: process.env["PATH"]!, NO_COLOR: "1" };
  const started = await workloads.start(
    { ...plan, env: variables, egress: { policy: {}, secrets: [] } },
    new AbortController().signal,
  );
  ({ agent } = started);
  hook = newHook();
});
after(async () => {
  await node.machines.stop("ins_hook");
  await rm(hook.socket, { force: true });
  await node.close();
  await rm(home, { recursive: true });
});

/** Starts a program that waits for its input to end. */
async function run(code: string) {
  const main = join(home, "main.ts");
  await writeFile(main, code);
  const program = withHook(
    {
      file: main,
      command: "deno",
      args: ["run", "-A", preludeOption(join(home, "cron.sock")), main, "argument"],
      cwd: home,
    },
    hook,
  );
  return spawnProgram(agent, program, new AbortController().signal);
}

test("it says what keeps a program from being saved, and renews Math.random", { timeout: patience }, async () => {
  const code = `
const native = Math.random;
const work = new Worker("data:application/javascript,setInterval(() => {}, 1000)", { type: "module" });
const child = new Deno.Command("sleep", { args: ["1000"] }).spawn();
const own = setInterval(() => {
  if (Math.random === native) return;
  clearInterval(own);
  const many = Array.from({ length: 1000 }, () => Math.random());
  console.log(Deno.args[0], many.every((n) => n >= 0 && n < 1), new Set(many).size);
  child.kill("SIGKILL");
  Deno.exit(0);
}, 20);
`;
  const { stdout } = await run(code);
  const output = text(agent.readStream(stdout));
  const state = await until(patience, "worker and process", async () => {
    const now = await askState(agent, hook).catch(() => undefined);
    return now !== undefined && now.workers === 1 && now.children === 1 ? now : undefined;
  });
  // Those of this host are counted here as well: a machine has none but the program's.
  assert.ok(state.connections >= 0);
  await renewProgram(agent, hook);
  assert.equal(await output, "argument true 1000\n");
});

test("a program that has ended does not confirm", { timeout: patience }, async () => {
  await assert.rejects(renewProgram(agent, hook), { code: "guest_error", message: "The program does not answer." });
});

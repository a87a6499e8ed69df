/** Terminals and what is slow to try: a viewer that does not read. */
import { test } from "node:test";
import { Sandbox } from "@deno/sandbox";
import { startPlatform, until, type PlatformProcess } from "@caisson/testing";
import { Api } from "./viewer.ts";

/** Milliseconds. */
const limit = 600_000;
const config = { pool: { size: 0 }, logLevel: "warn" };
const api = ({ env }: PlatformProcess, id: string) => new Api(env.DENO_DEPLOY_ENDPOINT, env.DENO_DEPLOY_TOKEN, id);

test("a viewer that does not read is disconnected; the others and the program go on", { timeout: limit }, async () => {
  const platform = await startPlatform({ config });
  try {
    Object.assign(process.env, platform.env);
    await using sandbox = await Sandbox.create();
    const its = api(platform, sandbox.id);
    const { id } = await its.open({ command: "/bin/sh", args: ["-c", "read go; while :; do seq 1 100000; done"] });
    const [quick, slow] = [await its.attach(id), await its.attach(id)];
    slow.socket.pause();
    quick.type("go\n");
    await until(limit, "the slow viewer's end", async () => ((await its.find(id))?.viewers === 1 ? true : undefined));
    const seen = quick.output.length;
    await until(limit, "more output", async () => quick.output.length > seen + 100_000 || undefined);
    slow.socket.resume();
    await slow.closed;
    await its.close(id);
  } finally {
    await platform.stop(60_000);
  }
});

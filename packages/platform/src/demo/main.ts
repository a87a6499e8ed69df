/**
 * The demo: a throwaway platform, one sandbox made by the official client, a program that uses an API key it never
 * holds, the same program trying to steal it, and the record of all that. Exits 0 when the key stayed home.
 */
import { randomBytes } from "node:crypto";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Client, type Sandbox } from "@deno/sandbox";
import { createAuthority } from "@caisson/egress";
import type { EgressEvent } from "@caisson/protocol";
import { chapter, note, prompt, quote, row, step, title, verdict } from "./presenter.ts";
import { startStandIn } from "./stand-in.ts";
import { startThrowaway, type ThrowawayPlatform } from "./throwaway.ts";

const api = "api.llm.example";
const status = "status.example";
const key = `sk-demo-${randomBytes(16).toString("hex")}`;
/** Forms in which the key would be worth stealing. */
const loot = [key, Buffer.from(key).toString("base64"), Buffer.from(key).toString("hex")];

const cleanup: (() => Promise<unknown>)[] = [];
let stolen = 0;

async function main(): Promise<void> {
  title("Caisson", "run code that nobody reviewed, with real keys, and keep the keys");
  chapter("A platform and a sandbox");
  const standIn = await prepareStandIn();
  const platform = await step("a platform in a temporary directory", () => startThrowaway(standIn.config, 180_000));
  cleanup.push(() => platform.stop());
  note(`  ${platform.readyLine}`);
  const { sandbox, milliseconds } = await create(platform);
  cleanup.push(() => sandbox.kill());
  note(`  created and first command answered in ${milliseconds.toFixed(0)} ms`);

  chapter("A real Linux machine");
  await show(sandbox, "uname -sr && free -m | head -2");
  await show(sandbox, `deno eval 'console.log("deno", Deno.version.deno, "- 6 * 7 =", 6 * 7)'`);
  await show(sandbox, `python3 -c 'import sys; print("python", sys.version.split()[0], "-", sum(range(101)))'`);

  chapter("A program uses an API key that it never holds");
  await sandbox.fs.writeTextFile("untrusted.py", await readFile(join(import.meta.dirname, "untrusted.py"), "utf8"));
  await show(sandbox, "echo $LLM_API_KEY");
  for (const { outcome } of await attempts(sandbox, "work")) quote(outcome);
  const arrived = standIn.seen.at(-1) === `Bearer ${key}`;
  if (!arrived) stolen++;
  verdict(
    arrived,
    `the API received the real key`,
    `Bearer ${key.slice(0, 12)}… reached ${api}, ${standIn.seen.length} request`,
  );

  chapter("The same program tries to steal it");
  for (const { attempt, outcome } of await attempts(sandbox, "steal")) {
    const held = !loot.some((form) => outcome.includes(form));
    if (!held) stolen++;
    verdict(held, attempt, outcome.replaceAll(/\s+/g, " ").slice(0, 150));
  }

  chapter("What was recorded");
  await showAudit(platform, sandbox.id);
}

async function prepareStandIn() {
  const directory = await mkdtemp(join(tmpdir(), "caisson-demo-ca-"));
  cleanup.push(() => rm(directory, { recursive: true, force: true }));
  const authority = await createAuthority("Caisson demo");
  const standIn = await startStandIn(await authority.issue([api, status]));
  cleanup.push(() => standIn.close());
  const ca = join(directory, "ca.pem");
  await writeFile(ca, authority.certificatePem);
  const to = `127.0.0.1:${standIn.port}`;
  const config = {
    pool: { size: 1 },
    logLevel: "warn",
    egress: { resolve: { [api]: to, [status]: to, "collector.example": to }, extraCa: [ca] },
  };
  return { config, seen: standIn.seen };
}

async function create(platform: ThrowawayPlatform): Promise<{ sandbox: Sandbox; milliseconds: number }> {
  // The official client reads the endpoints from the environment alone.
  Object.assign(process.env, platform.env);
  const client = new Client();
  return step("a sandbox, by the official client", async () => {
    const started = performance.now();
    const sandbox = await client.sandboxes.create({
      allowNet: [api, status],
      secrets: { LLM_API_KEY: { hosts: [api], value: key } },
    });
    await sandbox.sh`true`;
    return { sandbox, milliseconds: performance.now() - started };
  });
}

async function show(sandbox: Sandbox, command: string): Promise<void> {
  prompt(command);
  const child = await sandbox.spawn("bash", { args: ["-c", command], stdout: "piped", stderr: "piped" });
  const { stdoutText, stderrText } = await child.output();
  quote(`${stdoutText ?? ""}${stderrText ?? ""}`);
}

async function attempts(sandbox: Sandbox, what: "work" | "steal"): Promise<{ attempt: string; outcome: string }[]> {
  const child = await step(`python3 untrusted.py ${what}`, async () => {
    const process = await sandbox.spawn("python3", { args: ["untrusted.py", what], stdout: "piped", stderr: "piped" });
    return process.output();
  });
  if (!child.status.success)
    throw new Error(`untrusted.py ${what} ended with ${child.status.code}: ${child.stderrText}`);
  return (child.stdoutText ?? "")
    .trim()
    .split("\n")
    .map((text) => JSON.parse(text) as { attempt: string; outcome: string });
}

async function showAudit(platform: ThrowawayPlatform, sandboxId: string): Promise<void> {
  const answer = await fetch(`${platform.env["DENO_DEPLOY_ENDPOINT"]}/api/v1/audit?sandbox=${sandboxId}&limit=100`, {
    headers: { authorization: `Bearer ${platform.env["DENO_DEPLOY_TOKEN"]}` },
    signal: AbortSignal.timeout(10_000),
  });
  const events = (await answer.json()) as EgressEvent[];
  const widths = [8, 28, 26, 22];
  for (const event of events.toReversed()) {
    const what = event.method === undefined ? event.protocol : `${event.method} ${event.path}`;
    row([event.verdict, `${event.host}:${event.port}`, what, event.rule, (event.secrets ?? []).join(" ")], widths);
  }
}

try {
  await main();
} finally {
  for (const undo of cleanup.toReversed()) await undo().catch((error: unknown) => console.error(error));
}
chapter(stolen === 0 ? "The key stayed home." : `${stolen} check${stolen === 1 ? "" : "s"} failed.`);
process.exitCode = stolen === 0 ? 0 : 1;

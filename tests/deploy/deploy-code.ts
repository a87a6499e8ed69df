/** Deploys a program from a sandbox by the official client. */
import type { Sandbox } from "@deno/sandbox";

/** What `build.done` gives, beside what its type says. */
export interface Done {
  readonly id: string;
  readonly status: string;
  readonly failure_message: string | null;
  readonly timelines: { readonly slug: string; readonly domains: { readonly domain: string }[] }[];
}

/** To production of the app. @returns the end of the deployment, and the lines of `build.logs()` */
export async function deployCode(
  sandbox: Sandbox,
  slug: string,
  code: string,
): Promise<{ done: Done; logs: unknown[] }> {
  await sandbox.fs.mkdir("/home/app/site", { recursive: true });
  await sandbox.fs.writeTextFile("/home/app/site/server.ts", code);
  const build = await sandbox.deploy(slug, {
    path: "site",
    production: true,
    build: { mode: "none", entrypoint: "server.ts" },
  });
  const [done, logs] = await Promise.all([build.done as Promise<unknown>, Array.fromAsync(build.logs())]);
  return { done: done as Done, logs };
}

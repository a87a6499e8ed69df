/** A platform with a home of its own, whose images are measured; the official client talks to it. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Client } from "@deno/sandbox";
import { startPlatform, type PlatformProcess } from "@caisson/testing";

export interface OwnPlatform extends AsyncDisposable {
  readonly home: string;
  readonly platform: PlatformProcess;
  readonly client: Client;
}

/** @param config of the platform */
export async function ownPlatform(config: Record<string, unknown>): Promise<OwnPlatform> {
  const home = await mkdtemp(join(tmpdir(), "csn-"));
  const platform = await startPlatform({ home, config: { ...config, logLevel: "warn" } });
  Object.assign(process.env, platform.env);
  return {
    home,
    platform,
    client: new Client(),
    async [Symbol.asyncDispose]() {
      // It may have ended.
      await platform.stop().catch(() => undefined);
      await rm(home, { recursive: true, force: true });
    },
  };
}

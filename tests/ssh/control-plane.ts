/** The whole control plane with SSH, and the real agent as a process of this host: for what needs no machine. */
import { randomBytes } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createSshGateway } from "@caisson/gateway";
import { DirectoryBlobs, LocalLayers } from "@caisson/layers";
import { configSchema, type SshGateway } from "@caisson/protocol";
import { createServer } from "@caisson/server";
import { buildAgent, HostNode, type ClientEnvironment } from "@caisson/testing";
import { pino } from "pino";

export interface ControlPlane {
  readonly ssh: SshGateway;
  readonly env: ClientEnvironment;
  /** All log lines so far. */
  readonly lines: string[];
  /** @param body sent as JSON */
  rest(path: string, method?: string, body?: unknown): Promise<Response>;
  close(): Promise<void>;
}

export async function controlPlane(): Promise<ControlPlane> {
  const home = await mkdtemp(join(tmpdir(), "caisson-ssh-plane-"));
  const layers = new LocalLayers(join(home, "layers"), new DirectoryBlobs(join(home, "volumes", "blobs")));
  const node = new HostNode(buildAgent(home), layers);
  const key = randomBytes(32);
  const lines: string[] = [];
  const log = pino({ level: "debug" }, { write: (line: string) => void lines.push(line) });
  const ssh = createSshGateway({ host: "127.0.0.1", port: 0, publicHost: "127.0.0.1", seed: key, log });
  const server = await createServer({ home, key, config: configSchema.parse({}), node, ssh, log });
  const { url } = await server.start({ host: "127.0.0.1", port: 0 });
  const { token, org } = server.development;
  return {
    ssh,
    env: { DENO_DEPLOY_ENDPOINT: url, DENO_SANDBOX_ENDPOINT: url, DENO_DEPLOY_TOKEN: token, DENO_DEPLOY_ORG: org },
    lines,
    rest: (path, method = "GET", body = {}) =>
      fetch(`${url}${path}`, {
        method,
        headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
        ...(method === "POST" && { body: JSON.stringify(body) }),
      }),
    close: async () => {
      await server.close("end");
      await node.close();
      await rm(home, { recursive: true });
    },
  };
}

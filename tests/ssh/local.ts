/** The SSH gateway over the real agent as a process of this host: for what needs no machine. */
import { randomBytes } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createSshGateway, type SshGatewayOptions } from "@caisson/gateway";
import { DirectoryBlobs, LocalLayers } from "@caisson/layers";
import type { Agent, MachineSpec, SshGateway } from "@caisson/protocol";
import { buildAgent, HostNode } from "@caisson/testing";
import { pino } from "pino";
import ssh2 from "ssh2";
import type { SshAddress } from "./openssh.ts";

export interface LocalGateway {
  readonly gateway: SshGateway;
  readonly address: SshAddress;
  readonly hostKey: string;
  readonly agent: Agent;
  /** All log lines so far. */
  readonly lines: string[];
  /** Ends the user name, as the end of its sandbox does. */
  end(): void;
  /** Ends the machine, as a crash does: without any notice before. */
  crash(): Promise<void>;
  close(): Promise<void>;
}

/** One machine, and the user name that leads to it. */
export async function localGateway(options: Partial<SshGatewayOptions> = {}): Promise<LocalGateway> {
  const directory = await mkdtemp(join(tmpdir(), "caisson-ssh-gateway-"));
  const layers = new LocalLayers(join(directory, "layers"), new DirectoryBlobs(join(directory, "blobs")));
  const node = new HostNode(buildAgent(directory), layers);
  await node.machines.create({ id: "one", hostname: "one", env: {} } as unknown as MachineSpec);
  const agent = node.machines.agent("one");
  const lines: string[] = [];
  const gateway = createSshGateway({
    host: "127.0.0.1",
    port: 0,
    publicHost: "127.0.0.1",
    seed: randomBytes(32),
    log: pino({ level: "debug" }, { write: (line: string) => void lines.push(line) }),
    ...options,
  });
  const username = randomBytes(16).toString("hex");
  const ended = new AbortController();
  await gateway.listen({
    find: async (name) => (name === username ? { workloadId: "one", agent, ended: ended.signal } : undefined),
  });
  return {
    gateway,
    address: { ...gateway.address(), username },
    hostKey: gateway.publicKey,
    agent,
    lines,
    end: () => ended.abort(),
    crash: async () => void (await node.machines.stop("one")),
    close: async () => {
      await gateway.close();
      await node.close();
      await rm(directory, { recursive: true });
    },
  };
}

/**
 * Logs in and leaves.
 * @param from an address of this host
 * @returns why it was refused; "in": it was not
 */
export function attemptLogin(port: number, username: string, from: string): Promise<string> {
  return new Promise((resolve) => {
    const client = new ssh2.Client();
    client.once("ready", () => {
      resolve("in");
      client.end();
    });
    client.once("error", ({ message }) => resolve(message));
    client.once("close", () => resolve("closed"));
    const sock = connect({ host: "127.0.0.1", port, localAddress: from });
    client.connect({ sock, username, readyTimeout: 30_000 });
  });
}

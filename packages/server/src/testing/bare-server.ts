/** The control plane over real sockets without machines: for what happens before a sandbox exists. */
import { readFile } from "node:fs/promises";
import { mkdtemp, rm } from "node:fs/promises";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { configSchema } from "@caisson/protocol";
import { DirectoryBlobs, LocalLayers } from "@caisson/layers";
import { HostNode } from "@caisson/testing";
import { pino } from "pino";
import { createServer, type CaissonServer } from "../index.ts";

export interface BareServer {
  readonly home: string;
  readonly url: string;
  readonly port: number;
  readonly server: CaissonServer;
  /** All log lines so far. */
  readonly lines: string[];
  close(): Promise<void>;
}

export interface BareServerOptions {
  readonly config?: unknown;
  /** Where it listens. Default: 127.0.0.1. */
  readonly host?: string;
  /** The agent's program; without it no sandbox can be made. */
  readonly agent?: string;
}

export async function openBareServer({
  config = {},
  host = "127.0.0.1",
  agent = "",
}: BareServerOptions = {}): Promise<BareServer> {
  const home = await mkdtemp(join(tmpdir(), "caisson-surface-"));
  const layers = new LocalLayers(join(home, "layers"), new DirectoryBlobs(join(home, "volumes", "blobs")));
  const node = new HostNode(agent, layers);
  const lines: string[] = [];
  const log = pino({ level: "debug" }, { write: (line: string) => void lines.push(line) });
  const server = await createServer({ home, config: configSchema.parse(config), key: Buffer.alloc(32, 1), node, log });
  const close = async () => {
    await server.close("end");
    await node.close();
    await rm(home, { recursive: true });
  };
  const { url } = await server.start({ host, port: 0 }).catch(async (error: unknown) => {
    await close();
    throw error;
  });
  return {
    home,
    url,
    port: Number(new URL(url).port),
    server,
    lines,
    close,
  };
}

export interface RawClient {
  readonly socket: Socket;
  /** What came so far. */
  text(): string;
  /** The whole answer: what came until the server ended the connection. */
  readonly ended: Promise<string>;
}

/**
 * Sends bytes and never closes its side.
 * @param from its own address; all of 127.0.0.0/8 are this machine's
 */
export function rawClient(port: number, bytes: string, from = "127.0.0.1"): RawClient {
  const socket = connect({ host: "127.0.0.1", port, localAddress: from, allowHalfOpen: true });
  let text = "";
  socket.setEncoding("latin1");
  socket.on("data", (piece: string) => (text += piece));
  socket.write(bytes, "latin1");
  const ended = new Promise<string>((resolve) => {
    socket.once("end", () => resolve(text));
    socket.on("error", () => resolve(text));
    socket.once("close", () => resolve(text));
  });
  return { socket, text: () => text, ended };
}

/** How many connections a process of this machine still holds at its side of `port`, that of the server. */
export async function heldConnections(port: number): Promise<number> {
  const suffix = `:${port.toString(16).toUpperCase().padStart(4, "0")}`;
  const [, ...rows] = (await readFile("/proc/net/tcp", "utf8")).trim().split("\n");
  return rows.filter((row) => {
    const [, local = "", , state, , , , , , inode] = row.trim().split(/\s+/);
    // 0A listens; without an inode only the kernel still knows the connection.
    return local.endsWith(suffix) && state !== "0A" && inode !== "0";
  }).length;
}

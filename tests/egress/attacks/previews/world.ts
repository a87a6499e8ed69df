/** What an attack on exposed ports is carried out against: two sandboxes, the gateway, the control plane, and this host. */
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { connect as connectTcp, createServer, type AddressInfo, type Server } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { connect as connectTls } from "node:tls";
import { Sandbox } from "@deno/sandbox";
import { until, WireClient, within, type ClientEnvironment, type SharedPlatform } from "@caisson/testing";

/** A sandbox whose program is exposed. */
export interface Site {
  readonly id: string;
  /** Name of its preview, without port. */
  readonly host: string;
  /** Everything its program took for a request. */
  seen(): Promise<string>;
}

export interface PreviewWorld {
  /** The attacker's own, and somebody else's. */
  readonly own: Site;
  readonly other: Site;
  readonly domain: string;
  readonly gatewayPort: number;
  readonly control: { readonly port: number; readonly token: string };
  /** Accepts connections on this host's loopback, where nothing may lead. */
  readonly hostPort: number;
  hostConnections(): number;
  /** Binds a name to a port of the attacker's sandbox. */
  bind(domain: string, port: number): Promise<unknown>;
  /** A new name for the attacker's sandbox, bound to that port. */
  expose(port: number): Promise<string>;
  close(): Promise<void>;
}

/** What comes back for these bytes, until the connection ends or falls silent. An attacker does not mind certificates. */
export async function talk(port: number, bytes: string, servername?: string): Promise<string> {
  const socket =
    servername === undefined
      ? connectTcp(port, "127.0.0.1")
      : connectTls({ host: "127.0.0.1", port, servername, rejectUnauthorized: false });
  const heard = { text: "", at: Date.now() };
  socket.on("data", (chunk: Buffer) => {
    heard.text += chunk.toString("latin1");
    heard.at = Date.now();
  });
  socket.on("error", () => undefined);
  socket.write(bytes, "latin1");
  const end = Date.now() + 15_000;
  while (!socket.closed && Date.now() < end && (heard.text === "" || Date.now() - heard.at < 800)) await sleep(20);
  socket.destroy();
  return heard.text;
}

export async function listenOnHost(): Promise<{ server: Server; port: number; connections(): number }> {
  let connections = 0;
  const server = createServer((socket) => {
    connections++;
    socket.on("error", () => undefined).end("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nhost");
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return { server, port: (server.address() as AddressInfo).port, connections: () => connections };
}

export const program = join(import.meta.dirname, "program.py");
/** Cookies that the attacker's program sets, by their `Domain`. */
export const tossed = (domain: string): string[] => [`Domain=${domain}`, `domain = .${domain.toUpperCase()}`];
const port = 8080;

/** The platform as it is. The client variables in `process.env` must be its own. */
export async function realWorld(
  platform: SharedPlatform,
): Promise<PreviewWorld & { readonly sandboxes: readonly Sandbox[] }> {
  const host = await listenOnHost();
  const sandboxes: Sandbox[] = [];
  const clients: WireClient[] = [];
  const close = async () => {
    for (const client of clients) client.socket.terminate();
    host.server.close();
    await Promise.allSettled(sandboxes.map((sandbox) => sandbox.kill()));
  };
  try {
    const [own, other] = [await site("own", tossed("localhost"), sandboxes), await site("other", [], sandboxes)];
    const client = await WireClient.open({ env: platform.env, id: own.id });
    clients.push(client);
    const endpoint = new URL(platform.env.DENO_DEPLOY_ENDPOINT);
    return {
      own,
      other,
      domain: "localhost",
      gatewayPort: Number(own.url.port),
      control: { port: Number(endpoint.port), token: platform.env.DENO_DEPLOY_TOKEN },
      hostPort: host.port,
      hostConnections: () => host.connections(),
      bind: async (domain, to) => (await client.call("exposeHttp", { domain, port: to })).result,
      expose: async (to) => {
        const domain = await reserve(platform.env, own.id);
        await client.call("exposeHttp", { domain, port: to });
        return domain.replace(/:.*/, "");
      },
      sandboxes,
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

async function site(name: string, cookies: readonly string[], all: Sandbox[]): Promise<Site & { url: URL }> {
  const sandbox = await within(60_000, "a sandbox", Sandbox.create({ port, allowNet: [] }));
  all.push(sandbox);
  await sandbox.fs.writeTextFile("/tmp/program.py", await readFile(program, "utf8"));
  await sandbox.fs.writeTextFile("/tmp/seen", "");
  const args = ["/tmp/program.py", name, String(port), "/tmp/seen", ...cookies];
  const child = await sandbox.spawn("python3", { args, stdout: "null", stderr: "null" });
  child.status.catch(() => undefined);
  const url = new URL(sandbox.url!);
  await until(30_000, "the program", async () => {
    const text = await talk(Number(url.port), `GET / HTTP/1.1\r\nhost: ${url.host}\r\n\r\n`, url.hostname);
    return text.includes(`program ${name}`) || undefined;
  });
  return { id: sandbox.id, host: url.hostname, url, seen: () => sandbox.fs.readTextFile("/tmp/seen") };
}

async function reserve(env: ClientEnvironment, id: string): Promise<string> {
  const answer = await fetch(`${env.DENO_SANDBOX_ENDPOINT}/api/v3/sandbox/${id}/expose/http`, {
    method: "POST",
    headers: { authorization: `Bearer ${env.DENO_DEPLOY_TOKEN}` },
    body: "{}",
  });
  return ((await answer.json()) as { domain: string }).domain;
}

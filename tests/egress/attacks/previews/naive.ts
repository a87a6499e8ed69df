/**
 * A gateway as one might write it in an afternoon, on one port with the control plane: the attacks are carried out against it to
 * show that each is seen when it comes through. It believes what a request says about its host, passes bytes as they are, lets
 * whoever asks bind any name, and connects to ports of this host.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { connect, createServer, type AddressInfo, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createServer as createSecureServer } from "node:tls";
import { createTestAuthority } from "../../world/authority.ts";
import { startEgressPlatform } from "../../world/platform.ts";
import { listenOnHost, program, tossed, type PreviewWorld, type Site } from "./world.ts";

const domain = "localhost";

export async function naiveWorld(): Promise<PreviewWorld> {
  const platform = await startEgressPlatform();
  const directory = await mkdtemp(join(tmpdir(), "csn-naive-"));
  const host = await listenOnHost();
  const own = await site("own", directory, tossed(domain));
  const other = await site("other", directory, []);
  const names = new Map([own, other].map((one) => [one.host, one.port]));
  const controlPort = Number(new URL(platform.env.DENO_DEPLOY_ENDPOINT).port);
  const choose = (head: string): number | undefined => {
    const [, target = ""] = head.split(" ");
    if (/^(https?:\/\/[^/]*)?\/(api|metrics|healthz|openapi)/.test(target)) return controlPort;
    const claims = [
      /^\S+ https?:\/\/([^/\s]+)/.exec(head)?.[1],
      /^x-forwarded-host: *(\S+)/im.exec(head)?.[1],
      [...head.matchAll(/^host: *(\S+)/gim)].at(-1)?.[1],
    ];
    const claimed = claims.find((claim) => claim !== undefined)?.toLowerCase() ?? "";
    return claimed.endsWith(`:${controlPort}`)
      ? controlPort
      : names.get(claimed.replace(/:\d+$/, "").replace(/\.$/, ""));
  };
  const serve = (socket: Socket): void => {
    socket
      .on("error", () => undefined)
      .once("data", (first: Buffer) => {
        const port = choose(first.toString("latin1"));
        if (port === undefined) {
          socket.end("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n");
          return;
        }
        const inside = connect(port, "127.0.0.1");
        inside.on("error", () => socket.destroy()).write(first);
        socket.pipe(inside).pipe(socket);
      });
  };
  const authority = await createTestAuthority();
  const gateway = createSecureServer(await authority.issue([domain]), serve);
  const control = createServer(serve);
  return {
    own,
    other,
    domain,
    gatewayPort: await listen(gateway),
    // Previews on the control plane's port, too.
    control: { port: await listen(control), token: platform.env.DENO_DEPLOY_TOKEN },
    hostPort: host.port,
    hostConnections: () => host.connections(),
    // Ports of the attacker's sandbox are ports of this host here.
    bind: async (name, port) => {
      const canonical = name.toLowerCase().replace(/:\d+$/, "").replace(/\.$/, "");
      names.set(canonical, port === 8080 ? own.port : port);
    },
    expose: async (port) => {
      const name = `n${names.size}.${domain}`;
      // What the agent listens on for itself is played by something that listens.
      names.set(name, port === host.port ? port : own.port);
      return name;
    },
    async close() {
      for (const server of [gateway, control, host.server]) server.close();
      for (const one of [own, other]) one.close();
      await platform.stop(15_000);
      await rm(directory, { recursive: true, force: true });
    },
  };
}

async function site(
  name: string,
  directory: string,
  cookies: readonly string[],
): Promise<Site & { readonly port: number; close(): void }> {
  const file = join(directory, name);
  const child = spawn("python3", [program, name, "0", file, ...cookies], { stdio: ["ignore", "pipe", "inherit"] });
  const port = Number(String((await once(child.stdout, "data"))[0]));
  return {
    id: name,
    host: `${name}.${domain}`,
    port,
    seen: () => readFile(file, "utf8").catch(() => ""),
    close: () => void child.kill(),
  };
}

async function listen(server: Server): Promise<number> {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return (server.address() as AddressInfo).port;
}

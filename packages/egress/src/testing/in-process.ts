/** The proxy inside this process, so that whatever it does wrong is seen at once. Upstreams give back all that they are sent. */
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer as createHttpServer, type IncomingMessage, type Server } from "node:http";
import { createServer as createTcpServer, type AddressInfo, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { WebSocketServer } from "ws";
import type { SecretBinding } from "@caisson/protocol";
import { createHttp1Server } from "../intercept/http1/server.ts";
import { createUpstreamTrust } from "../upstream/trust.ts";
import { createResolver } from "../resolve/resolver.ts";
import { createSandbox, type Sandbox } from "../worker/sandbox.ts";

export interface InProcess {
  readonly sandbox: Sandbox;
  /** What upstreams were sent, newest last: raw bytes per connection, by port of the upstream. */
  readonly received: Map<number, Buffer[]>;
  /** For sockets. */
  readonly directory: string;
  readonly ports: { readonly granted: number; readonly other: number };
  close(): Promise<void>;
}

/**
 * `granted.test` is allowed and gets the secrets, `other.test` is allowed and does not, everything else is refused.
 */
export async function startInProcess(secrets: readonly SecretBinding[]): Promise<InProcess> {
  const directory = await mkdtemp(join(tmpdir(), "caisson-egress-"));
  const received = new Map<number, Buffer[]>();
  const listening: Server[] = [];
  const sockets = new Set<Socket>();
  const listen = async (): Promise<number> => {
    const http = createHttpServer(
      (request, response) =>
        void echo(request).then(
          (body) => response.end(body),
          () => response.destroy(),
        ),
    );
    const webSockets = new WebSocketServer({ server: http, maxPayload: 2 ** 20, perMessageDeflate: false });
    webSockets.on("connection", (socket) => {
      socket.on("error", () => {});
      socket.on("message", (data, binary) => socket.send(data, { binary }));
    });
    const tcp = createTcpServer((socket) => {
      const port = (tcp.address() as AddressInfo).port;
      sockets.add(socket);
      socket.once("close", () => sockets.delete(socket)).on("error", () => {});
      socket.on("data", (chunk: Buffer) => received.get(port)?.push(chunk));
      http.emit("connection", socket);
    });
    tcp.listen(0, "127.0.0.1");
    await once(tcp, "listening");
    listening.push(tcp as Server);
    const { port } = tcp.address() as AddressInfo;
    received.set(port, []);
    return port;
  };
  const ports = { granted: await listen(), other: await listen() };
  const http1 = createHttp1Server();
  const sandbox = await createSandbox(
    {
      sandboxId: "sbx_ord_0123456789abcdef0123",
      socketPath: "",
      policy: { allow: ["granted.test", "other.test"] },
      secrets,
    },
    {
      resolver: createResolver({
        resolve: { "granted.test": `127.0.0.1:${ports.granted}`, "other.test": `127.0.0.1:${ports.other}` },
        allowRanges: [],
      }),
      deliver: () => {},
      http1,
      dialing: { trust: createUpstreamTrust([]) },
      authoritySeed: Buffer.alloc(32, 1),
    },
  );
  return {
    sandbox,
    received,
    directory,
    ports,
    async close() {
      http1.close();
      sandbox.origins.destroy();
      for (const socket of sockets) socket.destroy();
      for (const server of listening) server.close();
      await rm(directory, { recursive: true, force: true });
    },
  };
}

async function echo(request: IncomingMessage): Promise<string> {
  let body = "";
  for await (const chunk of request) body += String(chunk);
  return JSON.stringify({ method: request.method, url: request.url, headers: request.rawHeaders, body });
}

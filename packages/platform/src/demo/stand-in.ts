/** Stand-ins on the host for the demo: an LLM API with a hobby of echoing, and an unrelated allowed host. HTTPS on loopback. */
import { createServer, type Server } from "node:https";
import type { AddressInfo } from "node:net";
import { gzipSync } from "node:zlib";

export interface StandIn {
  readonly port: number;
  /** Every Authorization header that reached the API, in order. */
  readonly seen: readonly string[];
  close(): Promise<void>;
}

export interface ServerIdentity {
  readonly cert: string;
  readonly key: string;
}

export async function startStandIn(identity: ServerIdentity): Promise<StandIn> {
  const seen: string[] = [];
  const server = createServer({ ...identity }, (request, response) => {
    const authorization = request.headers.authorization ?? "";
    const { pathname, searchParams } = new URL(request.url ?? "/", "https://stand-in");
    request.resume();
    if (pathname === "/v1/chat") {
      seen.push(authorization);
      response.setHeader("content-type", "application/json");
      response.end(JSON.stringify({ id: "chat-1", choices: [{ message: { role: "assistant", content: "Hello." } }] }));
      return;
    }
    if (searchParams.get("as") === "gzip-hex") {
      response.setHeader("content-encoding", "gzip");
      response.end(gzipSync(`you sent ${Buffer.from(authorization.replace("Bearer ", "")).toString("hex")}`));
      return;
    }
    response.setHeader("x-you-sent", authorization);
    response.end(`you sent ${authorization}`);
  });
  await listen(server);
  return {
    port: (server.address() as AddressInfo).port,
    seen,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

function listen(server: Server): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(0, "127.0.0.1", resolve);
  });
}

/**
 * A gateway as one might write it in an afternoon: it answers whatever it gets and waits for as long as a visitor likes. Attacks are carried out
 * against it to show that each is seen when it succeeds.
 */
import { request } from "node:http";
import { createSecureServer, type Http2ServerRequest, type Http2ServerResponse } from "node:http2";
import type { AddressInfo, Socket } from "node:net";
import { createGatewayAuthority } from "@caisson/egress";

export interface NaiveGateway {
  readonly port: number;
  close(): void;
}

/**
 * @param program port on this host that all requests go to
 * @param places most connections; more wait
 */
export async function naiveGateway(program: number, host: string, places = 10_000): Promise<NaiveGateway> {
  const leaf = await (await createGatewayAuthority(Buffer.alloc(32, 3))).issue([host]);
  const sockets = new Set<Socket>();
  const server = createSecureServer(
    {
      cert: leaf.cert,
      key: leaf.key,
      allowHTTP1: true,
      handshakeTimeout: 2 ** 31 - 1,
      streamResetBurst: 1e9,
      streamResetRate: 1e9,
      maxSettings: 1000,
      maxSessionInvalidFrames: 1e9,
      maxSessionRejectedStreams: 1e9,
    },
    serve,
  );
  Object.assign(server, { headersTimeout: 0, requestTimeout: 0, timeout: 0 });
  server.maxConnections = places;
  server.on("connection", (socket: Socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
  });
  server.on("sessionError", () => undefined);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));

  function serve(visitor: Http2ServerRequest, answer: Http2ServerResponse): void {
    const inside = request(
      { port: program, host: "127.0.0.1", method: visitor.method, path: visitor.url, headers: { host } },
      (reply) => {
        answer.writeHead(reply.statusCode ?? 502);
        reply.pipe(answer);
      },
    );
    inside.on("error", () => answer.destroy());
    visitor.on("error", () => undefined);
    answer.on("error", () => undefined);
    answer.on("close", () => inside.destroy());
    visitor.pipe(inside);
  }
  return {
    port: (server.address() as AddressInfo).port,
    close: () => {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}

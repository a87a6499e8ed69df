/** For clients that know neither the names nor the certificates of previews: a port without TLS that leads to one name of a gateway. */
import { createServer, type AddressInfo, type Socket } from "node:net";
import { connect } from "node:tls";

export interface NamedBridge {
  readonly port: number;
  close(): void;
}

/**
 * Every connection becomes one by TLS to the gateway. `Host` of the first request of HTTP/1.1 is replaced; all other bytes, and the ends of
 * both directions, pass as they are.
 * @param gateway port on this host
 * @param host name of the preview, with port where it has one
 * @param version of HTTP. With `h2` nothing is replaced
 */
export async function namedBridge(
  gateway: number,
  host: string,
  version: "http/1.1" | "h2" = "http/1.1",
): Promise<NamedBridge> {
  const sockets = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (client) => {
    const servername = host.replace(/:\d+$/, "");
    // Node's types do not know `allowHalfOpen` here.
    const options = {
      host: "127.0.0.1",
      port: gateway,
      servername,
      ALPNProtocols: [version],
      rejectUnauthorized: false,
      allowHalfOpen: true,
    };
    const outside = connect(options);
    outside.setNoDelay(true);
    for (const [socket, other] of [
      [client, outside],
      [outside, client],
    ] as const) {
      sockets.add(socket);
      socket.on("error", () => other.destroy());
      socket.once("close", () => {
        sockets.delete(socket);
        if (socket.errored !== null || !socket.readableEnded) other.destroy();
      });
    }
    outside.pipe(client);
    if (version === "h2") {
      client.pipe(outside);
      return;
    }
    let head = Buffer.alloc(0);
    const read = (piece: Buffer) => {
      head = Buffer.concat([head, piece]);
      const end = head.indexOf("\r\n\r\n");
      if (end < 0) return;
      client.off("data", read).pause();
      const text = head.subarray(0, end).toString("latin1");
      outside.write(text.replace(/^host:.*$/im, `Host: ${host}`), "latin1");
      outside.write(head.subarray(end));
      client.pipe(outside);
    };
    client.on("data", read);
  });
  server.listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  return {
    port: (server.address() as AddressInfo).port,
    close: () => {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}

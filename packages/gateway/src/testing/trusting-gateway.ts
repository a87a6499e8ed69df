/**
 * A gateway that believes its visitors: it sends a connection to the program that the first Host names, whatever TLS was for, and passes
 * every byte on as it is. Attacks are carried out against it to show that each is seen when it succeeds.
 */
import { connect, type AddressInfo, type Socket } from "node:net";
import { createServer } from "node:tls";
import { createGatewayAuthority } from "@caisson/egress";

export interface TrustingGateway {
  readonly port: number;
  close(): void;
}

/** @param programs ports of this host, by hostname */
export async function trustingGateway(programs: Readonly<Record<string, number>>): Promise<TrustingGateway> {
  const leaf = await (await createGatewayAuthority(Buffer.alloc(32, 3))).issue(Object.keys(programs));
  const sockets = new Set<Socket>();
  const server = createServer({ cert: leaf.cert, key: leaf.key }, (visitor) => {
    sockets.add(visitor);
    visitor.on("error", () => undefined);
    visitor.once("data", (head) => {
      const port = programs[/^host: *(\S+)\r?$/im.exec(head.toString("latin1"))?.[1] ?? ""];
      if (port === undefined) {
        visitor.destroy();
        return;
      }
      const inside = connect(port, "127.0.0.1").on("error", () => visitor.destroy());
      sockets.add(inside);
      inside.write(head);
      visitor.pipe(inside).pipe(visitor);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    port: (server.address() as AddressInfo).port,
    close: () => {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}

/** A choice in front of what a server does with a new connection. */
import type { Server } from "node:http";
import type { Socket } from "node:net";

/**
 * Puts `choose` in front of Node's own listener for new connections. Node tracks slow heads only in a server that listens itself, so
 * connections cannot simply be handed to one that does not.
 * @param event `connection`, or `secureConnection` when the handshake is over
 * @param choose `serve` goes on as without the choice
 */
export function divert(server: Server, event: string, choose: (socket: Socket, serve: () => void) => void): void {
  const own = server.listeners(event) as ((this: Server, socket: Socket) => void)[];
  server.removeAllListeners(event);
  server.on(event, (socket: Socket) => choose(socket, () => own.forEach((listener) => listener.call(server, socket))));
}

/** Requests of a connection that have no complete answer yet. */
import type { ServerResponse } from "node:http";
import type { Duplex } from "node:stream";

export class PendingAnswers {
  readonly #bySocket = new WeakMap<Duplex, Set<ServerResponse>>();

  /** Adds an answer; it leaves by itself when it is closed. */
  add(socket: Duplex, response: ServerResponse): void {
    const pending = this.#of(socket);
    pending.add(response);
    response.once("close", () => pending.delete(response));
  }

  /** How many answers of the connection are pending. */
  count(socket: Duplex): number {
    return this.#bySocket.get(socket)?.size ?? 0;
  }

  #of(socket: Duplex): Set<ServerResponse> {
    const known = this.#bySocket.get(socket);
    if (known !== undefined) return known;
    const pending = new Set<ServerResponse>();
    this.#bySocket.set(socket, pending);
    // Node closes only the answer whose turn it is when the client disconnects. Those behind it would stay open for ever.
    socket.once("close", () => pending.forEach((response) => response.destroy()));
    return pending;
  }
}

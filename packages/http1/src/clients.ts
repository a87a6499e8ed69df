/** The clients of a listening socket: who they are, and how many connections each of them may hold. */
import type { EventEmitter } from "node:events";
import type { IncomingMessage } from "node:http";
import type { Socket } from "node:net";
import { AddressShares } from "./address-limits.ts";
import { addressSet, clientAddress, contains, type AddressSet } from "./addresses.ts";

export interface ClientsOptions {
  /** Addresses and ranges (CIDR) of reverse proxies whose `X-Forwarded-For` counts. */
  readonly trustedProxies: readonly string[];
  readonly connectionsPerAddress: number;
}

export class Clients {
  readonly #trusted: AddressSet;
  readonly #shares: AddressShares;

  constructor({ trustedProxies, connectionsPerAddress }: ClientsOptions) {
    this.#trusted = addressSet(trustedProxies);
    this.#shares = new AddressShares(connectionsPerAddress);
  }

  /** Counts a new connection until it closes. One too many of its address is cut: an answer would hold what is to be freed. */
  connected(socket: Socket): void {
    const address = clientAddress(socket.remoteAddress, undefined, this.#trusted);
    // The connections of a proxy belong to many clients; `admit` counts their requests instead.
    if (contains(this.#trusted, address)) return;
    const giveBack = this.#shares.take(address);
    if (giveBack === undefined) socket.destroy();
    else socket.once("close", giveBack);
  }

  addressOf(request: IncomingMessage): string {
    return clientAddress(request.socket.remoteAddress, request.headers["x-forwarded-for"], this.#trusted);
  }

  /**
   * Counts a request or a WebSocket of a proxy's client, as `connected` counts connections.
   * @param ending emits `close` when it is over
   * @returns false: the client holds too many
   */
  admit(request: IncomingMessage, ending: EventEmitter): boolean {
    const { remoteAddress } = request.socket;
    if (!contains(this.#trusted, clientAddress(remoteAddress, undefined, this.#trusted))) return true;
    const giveBack = this.#shares.take(this.addressOf(request));
    if (giveBack !== undefined) ending.once("close", giveBack);
    return giveBack !== undefined;
  }
}

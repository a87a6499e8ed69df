/** The clients of a listening socket: who they are, and how many connections each of them may hold. */
import type { Server } from "node:https";
import type { Socket } from "node:net";
import { AddressRate, AddressShares } from "./address-limits.ts";
import { addressSet, clientAddress, contains, type AddressSet } from "./addresses.ts";
import { divert } from "./divert.ts";

export interface ClientsOptions {
  /** Addresses and ranges (CIDR) of reverse proxies whose `X-Forwarded-For` counts. */
  readonly trustedProxies: readonly string[];
  readonly connectionsPerAddress: number;
  /** Most TLS handshakes in a second of one address, on average. Default: no limit. */
  readonly handshakesPerAddress?: number;
}

/** Seconds of a rate that may come at once. */
const burstSeconds = 10;

export class Clients {
  readonly #trusted: AddressSet;
  readonly #shares: AddressShares;
  readonly #handshakes: AddressRate | undefined;

  constructor({ trustedProxies, connectionsPerAddress, handshakesPerAddress }: ClientsOptions) {
    this.#trusted = addressSet(trustedProxies);
    this.#shares = new AddressShares(connectionsPerAddress);
    if (handshakesPerAddress !== undefined)
      this.#handshakes = new AddressRate(handshakesPerAddress, handshakesPerAddress * burstSeconds);
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

  /**
   * Cuts new connections of a TLS server before anything of a handshake is computed, when their address began too many: a handshake costs
   * us a signature, and the client, who need not finish it, nothing. Trusted proxies have no limit. To be called before the server has
   * listeners for `connection` other than Node's own.
   */
  limitHandshakes(server: Server): void {
    divert(server, "connection", (socket, shakeHands) => {
      if (socket.destroyed) return;
      const address = clientAddress(socket.remoteAddress, undefined, this.#trusted);
      if (contains(this.#trusted, address) || (this.#handshakes?.take(address) ?? true)) shakeHands();
      else socket.destroy();
    });
  }

  /**
   * @param peer the other end of the connection; undefined when it has disconnected
   * @param forwardedFor the header `X-Forwarded-For`
   */
  addressOf(peer: string | undefined, forwardedFor: string | readonly string[] | undefined): string {
    return clientAddress(peer, forwardedFor, this.#trusted);
  }

  /** Whether connections of that other end belong to many clients. */
  isProxy(peer: string | undefined): boolean {
    return contains(this.#trusted, clientAddress(peer, undefined, this.#trusted));
  }

  /**
   * Counts a request or a WebSocket of a proxy's client, as `connected` counts connections.
   * @returns to be called when it is over; undefined: the client holds too many
   */
  admit(peer: string | undefined, forwardedFor: string | readonly string[] | undefined): (() => void) | undefined {
    if (!this.isProxy(peer)) return () => undefined;
    return this.#shares.take(this.addressOf(peer, forwardedFor));
  }
}

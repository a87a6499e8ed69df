/** Terminates TLS of the guest in place of the upstream, with certificates of the sandbox's own authority. */
import { createHash } from "node:crypto";
import type { Duplex } from "node:stream";
import { createSecureContext, TLSSocket, type SecureContext } from "node:tls";
import type { Authority } from "../../authority/authority.ts";
import { turns } from "./turns.ts";

const handshakeTimeout = 15_000;
const maxHosts = 256;
/** Each takes some tenths of a millisecond. Many connections of one sandbox that begin at once must not delay the other sandboxes. */
const handshakesPerTurn = 4;
/** A certificate is replaced so long before it ends. */
const renewBefore = 24 * 3600 * 1000;

interface Identity {
  readonly context: SecureContext;
  readonly renewAt: number;
}

export class TlsTerminator {
  readonly #authority: Authority;
  /** One context, and so one set of session tickets, for each host: a session of one cannot be resumed at another. */
  readonly #identities = new Map<string, Promise<Identity>>();
  readonly #turn = turns(handshakesPerTurn);

  constructor(authority: Authority) {
    this.#authority = authority;
  }

  /**
   * @param offered the protocols that the client offers (ALPN)
   * @throws Error when the handshake fails or takes too long; `socket` is of no more use then
   */
  async terminate(socket: Duplex, host: string, offered: readonly string[]): Promise<TLSSocket> {
    const { context } = await this.#identity(host);
    await this.#turn();
    if (socket.destroyed) throw new Error("The connection ended before the TLS handshake");
    // A protocol that we cannot parse is agreed to as well: the upstream is asked for it.
    const chosen = ["h2", "http/1.1"].find((protocol) => offered.includes(protocol)) ?? offered[0];
    const tls = new TLSSocket(socket, {
      isServer: true,
      secureContext: context,
      ...(chosen !== undefined && { ALPNProtocols: [chosen] }),
    });
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => fail(new Error("The TLS handshake took too long")), handshakeTimeout);
      const closed = (): void => fail(new Error("The connection ended during the TLS handshake"));
      const settle = (): void => {
        clearTimeout(timer);
        tls.off("error", fail);
        tls.off("close", closed);
      };
      const fail = (error: Error): void => {
        settle();
        tls.once("error", () => {});
        tls.destroy();
        reject(error);
      };
      tls.once("error", fail);
      tls.once("close", closed);
      tls.once("secure", () => {
        settle();
        // What a `tls.Server` does at this point; without it an HTTP/2 session goes on waiting for the handshake.
        (tls as { secureConnecting?: boolean }).secureConnecting = false;
        resolve();
      });
    });
    return tls;
  }

  async #identity(host: string): Promise<Identity> {
    const known = await this.#identities.get(host);
    if (known !== undefined && known.renewAt > Date.now()) return known;
    if (this.#identities.size >= maxHosts) this.#identities.delete(this.#identities.keys().next().value!);
    const created = this.#create(host);
    this.#identities.set(host, created);
    created.catch(() => this.#identities.delete(host));
    return await created;
  }

  async #create(host: string): Promise<Identity> {
    const leaf = await this.#authority.issue([host]);
    const context = createSecureContext({
      cert: leaf.cert,
      key: leaf.key,
      minVersion: "TLSv1.2",
      sessionIdContext: createHash("sha256").update(leaf.cert).digest("hex").slice(0, 32),
    });
    return { context, renewAt: leaf.notAfter - renewBefore };
  }
}

/** What goes on after its token was checked: WebSockets and streams. They end when the token is revoked or expires. */
import type { Authenticator } from "./context.ts";

/** Milliseconds between looks. Another process on the same database may have revoked a token. */
const lookInterval = 2_000;

interface Use {
  readonly closed: boolean;
  readonly destroyed: boolean;
  once(event: "close", listener: () => void): unknown;
}

export class TokenUses {
  readonly #authenticator: Authenticator;
  readonly #uses = new Map<string, Set<() => void>>();
  readonly task = { name: "ending what uses revoked tokens", interval: lookInterval, run: () => this.#look() };

  constructor(authenticator: Authenticator) {
    this.#authenticator = authenticator;
  }

  /** How many there are. */
  get count(): number {
    return [...this.#uses.values()].reduce((sum, { size }) => sum + size, 0);
  }

  /**
   * @param use its response, or its socket: until that is closed
   * @param end called once, when the token is no longer valid
   */
  add(tokenId: string, use: Use, end: () => void): void {
    // The client may have disconnected while its token was looked up. Nobody would report that again.
    if (use.closed || use.destroyed) return;
    const uses = this.#uses.get(tokenId) ?? new Set();
    this.#uses.set(tokenId, uses);
    uses.add(end);
    use.once("close", () => {
      uses.delete(end);
      if (uses.size === 0 && this.#uses.get(tokenId) === uses) this.#uses.delete(tokenId);
    });
  }

  async #look(): Promise<void> {
    const ids = [...this.#uses.keys()];
    if (ids.length === 0) return;
    const valid = await this.#authenticator.validTokens(ids);
    for (const id of ids) {
      if (valid.has(id)) continue;
      const uses = this.#uses.get(id) ?? [];
      this.#uses.delete(id);
      for (const end of uses) end();
    }
  }
}

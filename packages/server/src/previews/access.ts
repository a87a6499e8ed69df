/** Who may visit a protected name: whoever has a link that was signed for it, or a token of its organisation. */
import { CaissonError, type VisitGuard } from "@caisson/protocol";
import type { Authenticator } from "../kernel/http/context.ts";
import type { Sealer } from "../kernel/sealing.ts";

export interface ProtectedName {
  readonly label: string;
  readonly orgId: string;
  readonly access: string;
}

export class Access {
  readonly #sealer: Sealer;
  readonly #authenticator: Authenticator;

  constructor(sealer: Sealer, authenticator: Authenticator) {
    this.#sealer = sealer;
    this.#authenticator = authenticator;
  }

  /** @param until milliseconds since the epoch */
  sign({ label, access }: Pick<ProtectedName, "label" | "access">, until: number): string {
    // Sealed with the installation's key for this name alone, so nobody can make or change one.
    const sealed = this.#sealer.seal(String(until), contextOf(label, access));
    return Buffer.from(sealed, "base64").toString("base64url");
  }

  guard({ label, orgId, access }: ProtectedName): VisitGuard {
    return {
      admits: async (credential) => {
        if ("link" in credential) return this.#untilOf(credential.link, contextOf(label, access));
        try {
          const { org } = await this.#authenticator.authenticate(credential.authorization, undefined);
          return org.id === orgId ? Number.MAX_SAFE_INTEGER : undefined;
        } catch (error) {
          if (error instanceof CaissonError && (error.code === "unauthenticated" || error.code === "forbidden"))
            return undefined;
          throw error;
        }
      },
    };
  }

  #untilOf(token: string, context: string): number | undefined {
    // Sealed times have always the same length; nothing else is tried.
    if (!/^[A-Za-z0-9_-]{40,80}$/.test(token)) return undefined;
    try {
      const until = Number(this.#sealer.open(Buffer.from(token, "base64url").toString("base64"), context));
      return until > Date.now() ? until : undefined;
    } catch {
      return undefined;
    }
  }
}

const contextOf = (label: string, access: string): string => `preview link ${label} ${access}`;

/** What the middlewares add to a request, and who a request acts for. */
import type { HttpBindings } from "@hono/node-server";
import type { Logger } from "pino";
import { serviceKey } from "../services.ts";
import type { Admission } from "./gate.ts";

export interface Org {
  readonly id: string;
  readonly slug: string;
  /** Null: the configured limit. */
  readonly concurrentSandboxes: number | null;
}

export interface HttpVariables {
  readonly Bindings: HttpBindings;
  /** `local`: see `Gate.isLocal`. */
  readonly Variables: { requestId: string; log: Logger; local: boolean; admission: Admission; org: Org };
}

/** Who sent a request. */
export interface Principal {
  readonly org: Org;
  readonly tokenId: string;
}

/** Finds the organisation that a request acts for. */
export interface Authenticator {
  /** @throws CaissonError `unauthenticated`, `forbidden` */
  authenticate(authorization: string | undefined, orgSlug: string | undefined): Promise<Principal>;
  /** Those that are neither revoked nor expired. */
  validTokens(ids: readonly string[]): Promise<ReadonlySet<string>>;
}

/** Provided by the slice of organisations. */
export const authenticator = serviceKey<Authenticator>("authentication");

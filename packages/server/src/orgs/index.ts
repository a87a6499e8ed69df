/** @module Organisations and their tokens: who a request acts for. */
import { authenticator } from "../kernel/http/context.ts";
import { serviceKey } from "../kernel/services.ts";
import type { Slice } from "../kernel/slice.ts";
import { expiry, up } from "./migrations.ts";
import { Tokens } from "./tokens.ts";

export type { OrgTables } from "./tables.ts";

/** Organisation and token that were made on the first start. */
export interface Development {
  readonly org: string;
  readonly token: string;
}

export const development = serviceKey<Development>("development");

export const orgsSlice: Slice = {
  name: "orgs",
  // Also makes the first tables of sandboxes, secrets, audit and usage, which were one folder then.
  migrations: { "001-initial": { up }, "2026-12-03-token-expiry": { up: expiry } },
  async setup({ db, config, sealer, services }) {
    const tokens = new Tokens(db);
    services.provide(authenticator, tokens);
    services.provide(development, await tokens.development(sealer, config.limits.developmentConcurrentSandboxes));
    return {};
  },
};

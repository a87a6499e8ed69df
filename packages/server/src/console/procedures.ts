/** The procedures, as the command line calls them (wire contract, appendix A). */
import { CaissonError, toCaissonError } from "@caisson/protocol";
import { initTRPC, TRPCError, type TRPC_ERROR_CODE_KEY } from "@trpc/server";
import type { Logger } from "pino";
import { z } from "zod";
import type { Org } from "../kernel/http/context.ts";
import { toErrorAnswer } from "../kernel/http/errors.ts";
import type { Sandboxes } from "../sandboxes/index.ts";
import { transformer } from "./transformer.ts";

export interface ConsoleContext {
  readonly org: Org;
  readonly log: Logger;
  readonly sandboxes: Sandboxes;
  /** Where clients reach this server. */
  readonly publicUrl: string;
}

/** Sandboxes in one list. The command line does not page. */
const mostListed = 1000;

// `isDev` would send stack traces to clients.
const t = initTRPC.context<ConsoleContext>().create({ transformer, isDev: false });

/** Errors keep our codes and messages, and what is our fault stays in the log. */
const procedure = t.procedure.use(async ({ ctx, next }) => {
  const result = await next();
  if (result.ok) return result;
  const { cause } = result.error;
  if (!(cause instanceof CaissonError) && result.error.code !== "INTERNAL_SERVER_ERROR") return result;
  const { status, body } = toErrorAnswer(cause ?? result.error, ctx.log);
  throw new TRPCError({
    code: names[status] ?? "INTERNAL_SERVER_ERROR",
    message: body.message,
    cause: toCaissonError(cause),
  });
});

const names: Readonly<Record<number, TRPC_ERROR_CODE_KEY>> = {
  400: "BAD_REQUEST",
  401: "UNAUTHORIZED",
  403: "FORBIDDEN",
  404: "NOT_FOUND",
  409: "CONFLICT",
  410: "NOT_FOUND",
  429: "TOO_MANY_REQUESTS",
  501: "NOT_IMPLEMENTED",
  503: "SERVICE_UNAVAILABLE",
  504: "GATEWAY_TIMEOUT",
};

const text = z.string().max(200);
const ofOrg = z.object({ org: text });
const ofSandbox = ofOrg.extend({ sandboxId: text });

/** A token belongs to one organisation, and sees no other. */
function check(name: string, { org }: ConsoleContext): void {
  if (name !== org.slug && name !== org.id)
    throw new CaissonError("forbidden", `The token does not belong to the organisation \`${name.slice(0, 64)}\`.`);
}

/** The command line shows what is before the first dot as the region. */
const hostOf = (region: string, { publicUrl }: ConsoleContext) => `${region}.${new URL(publicUrl).host}`;

export const procedures = t.router({
  account: t.router({
    // Tokens belong to organisations here; there are no users.
    me: procedure.query(() => ({ user: null, tokenType: "organization" })),
  }),
  orgs: t.router({
    list: procedure.query(({ ctx: { org } }) => [{ id: org.id, name: org.slug, slug: org.slug, plan: "self-hosted" }]),
  }),
  sandboxes: t.router({
    list: procedure.input(ofOrg).query(async ({ ctx, input }) => {
      check(input.org, ctx);
      const items = await ctx.sandboxes.list(ctx.org.id, mostListed);
      return items.map(({ id, status, createdAt, stoppedAt, region }) => ({
        id,
        status,
        created_at: new Date(createdAt),
        stopped_at: stoppedAt === null ? null : new Date(stoppedAt),
        cluster_hostname: hostOf(region, ctx),
      }));
    }),
    findHostname: procedure.input(ofSandbox).query(async ({ ctx, input }) => {
      check(input.org, ctx);
      const { region } = await ctx.sandboxes.row(ctx.org.id, input.sandboxId);
      return { hostname: hostOf(region, ctx) };
    }),
    kill: procedure.input(ofSandbox.extend({ clusterHostname: text.optional() })).mutation(async ({ ctx, input }) => {
      check(input.org, ctx);
      await ctx.sandboxes.kill(ctx.org.id, input.sandboxId);
      return { success: true };
    }),
  }),
});

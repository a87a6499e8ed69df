/** Slices over a real database, without the server around them: for what needs neither HTTP nor machines. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CaissonError, configSchema } from "@caisson/protocol";
import { startPostgres } from "@caisson/testing";
import { OpenAPIHono } from "@hono/zod-openapi";
import type { ContentfulStatusCode } from "hono/utils/http-status";
import { pino } from "pino";
import type { AnyDatabase } from "../kernel/database/open.ts";
import { openDatabase } from "../kernel/database/open.ts";
import type { HttpVariables, Org } from "../kernel/http/context.ts";
import { toErrorAnswer } from "../kernel/http/errors.ts";
import { createSealer } from "../kernel/sealing.ts";
import { Services } from "../kernel/services.ts";
import type { Kernel, Slice, SliceParts } from "../kernel/slice.ts";
import { Tokens } from "../orgs/tokens.ts";
import { migrations } from "../slices.ts";

export interface TestSlices {
  readonly home: string;
  readonly db: AnyDatabase;
  readonly org: Org;
  readonly services: Services;
  readonly parts: readonly SliceParts[];
  /** A request to the routes of the slices, as a client of `org`. */
  request(method: string, path: string, options?: RequestOptions): Promise<Response>;
  close(): Promise<void>;
}

export interface RequestOptions {
  readonly body?: unknown;
  readonly headers?: Record<string, string>;
  /** Default: the organisation of this test. */
  readonly org?: Org;
}

export interface TestSlicesOptions {
  readonly database: "SQLite" | "PostgreSQL";
  /** In their order. They can use no part of the kernel that needs a machine. */
  readonly slices: readonly Slice[];
  readonly config?: unknown;
}

export async function openSlices({ database, slices, config = {} }: TestSlicesOptions): Promise<TestSlices> {
  const home = await mkdtemp(join(tmpdir(), "caisson-slices-"));
  const log = pino({ level: "silent" });
  const postgres = database === "PostgreSQL" ? await startPostgres() : undefined;
  const db = await openDatabase({ home, url: postgres?.url, migrations, log });
  const services = new Services();
  const kernel = {
    config: configSchema.parse(config),
    db,
    lockRows: postgres !== undefined,
    sealer: createSealer(Buffer.alloc(32, 1)),
    log,
    services,
    publicUrl: () => "http://localhost",
  } as unknown as Kernel;
  const parts: SliceParts[] = [];
  for (const slice of slices) parts.push(await slice.setup(kernel));
  const org = await new Tokens(db).createOrg("first");
  const app = routesOf(parts);
  return {
    home,
    db,
    org,
    services,
    parts,
    async request(method, path, { body, headers = {}, org: as = org } = {}) {
      const init = { method, headers: { "content-type": "application/json", ...headers, "x-org": JSON.stringify(as) } };
      const env = { outgoing: { destroy() {} } };
      return app.request(path, body === undefined ? init : { ...init, body: JSON.stringify(body) }, env);
    },
    async close() {
      for (const part of parts.toReversed()) await part.stop?.("end");
      await db.destroy();
      await postgres?.stop();
      await rm(home, { recursive: true });
    },
  };
}

/** Without what stands before the routes of a server: token, limits by address, WebSockets. */
function routesOf(parts: readonly SliceParts[]): OpenAPIHono<HttpVariables> {
  const app = new OpenAPIHono<HttpVariables>({
    defaultHook: (result) => {
      if (!result.success) throw new CaissonError("invalid_argument", "not as its schema says");
    },
  });
  app.use((c, next) => {
    c.set("org", JSON.parse(c.req.header("x-org") ?? "") as Org);
    return next();
  });
  app.onError((error, c) => {
    const { status, body } = toErrorAnswer(error, pino({ level: "silent" }));
    return c.json(body, status as ContentfulStatusCode);
  });
  for (const { routes } of parts) routes?.(app);
  return app;
}

/**
 * What a slice is: one capability of the server in one folder, with its schemas, routes, tables, store and service. `slices.ts` lists
 * them; nothing else has to know that one exists.
 */
import type { Duplex } from "node:stream";
import type { IncomingMessage } from "node:http";
import type { Config, HttpGateway, SandboxNode, SshGateway } from "@caisson/protocol";
import type { OpenAPIHono } from "@hono/zod-openapi";
import type { Migration } from "kysely";
import type { Logger } from "pino";
import type { Registry } from "prom-client";
import type { AnyDatabase } from "./database/open.ts";
import type { Sealer } from "./sealing.ts";
import type { HttpVariables, Org } from "./http/context.ts";
import type { Services } from "./services.ts";

/** What every slice can use. */
export interface Kernel {
  readonly config: Config;
  /** All tables; a slice narrows it to the ones that it needs: `kernel.db as Kysely<NotesTables>`. */
  readonly db: AnyDatabase;
  /** Whether several writers can be in one transaction at a time (PostgreSQL), so that rows must be locked. */
  readonly lockRows: boolean;
  readonly sealer: Sealer;
  readonly node: SandboxNode;
  /** Serves exposed ports. Absent: ports cannot be exposed. */
  readonly gateway: HttpGateway | undefined;
  /** Serves SSH. Absent: there is none. */
  readonly ssh: SshGateway | undefined;
  readonly metrics: Registry;
  readonly log: Logger;
  /** What slices offer each other. */
  readonly services: Services;
  /** How clients reach this server, without a trailing slash: for links. Right only once the server listens. */
  readonly publicUrl: () => string;
}

/** A WebSocket upgrade that passed authentication, before it is answered. */
export interface Upgrade {
  readonly request: IncomingMessage;
  readonly socket: Duplex;
  readonly head: Buffer;
  /** Groups of the pattern that matched. */
  readonly match: RegExpExecArray;
  readonly org: Org;
  readonly requestId: string;
  readonly log: Logger;
  /** Aborted when the client's socket has closed. */
  readonly gone: AbortSignal;
  /** Aborted when the token is revoked or expires. The connection should close at once, and is cut after a moment. */
  readonly revoked: AbortSignal;
}

export interface UpgradeRoute {
  /** Matches the whole path, without query. */
  readonly path: RegExp;
  /** @throws CaissonError: the upgrade is refused with it. Nothing may be thrown once the 101 was written. */
  handle(upgrade: Upgrade): Promise<void>;
}

/** Work that is repeated while the server runs; never twice at a time. */
export interface BackgroundTask {
  readonly name: string;
  /** Milliseconds. */
  readonly interval: number;
  run(signal: AbortSignal): Promise<void>;
}

/** Routes whose bodies may be larger than usual. They read them with `readJson`, or as a stream. */
export interface LargeBody {
  /** Matches the whole path, without query. */
  readonly path: RegExp;
  /** Most bytes. */
  readonly bytes: number;
}

/** What a slice adds to the server. Everything is optional. */
export interface SliceParts {
  /** Routes that need a token. Declared with `@hono/zod-openapi`, so that the API document is made from them. */
  readonly routes?: (app: OpenAPIHono<HttpVariables>) => void;
  /** Routes that need none. */
  readonly publicRoutes?: (app: OpenAPIHono<HttpVariables>) => void;
  readonly largeBodies?: readonly LargeBody[];
  readonly upgrades?: readonly UpgradeRoute[];
  readonly background?: readonly BackgroundTask[];
  /** Opens listeners of its own. Before anything has started, so what arrives must wait for `start`. */
  readonly listen?: () => Promise<void>;
  /** Brings store and node together. In the order of the list, when all ports are taken and before anything is served. */
  readonly start?: (signal: AbortSignal) => Promise<void>;
  /**
   * Ends what it started, also when it did not start wholly or at all. In the reverse order, when no new connections are taken any more.
   * `leave`: machines go on for the next process.
   */
  readonly stop?: (machines: "end" | "leave") => Promise<void>;
}

export interface Slice {
  readonly name: string;
  /** By name; names of all slices share one order, so they begin with a date (the first three are older). A released one never changes. */
  readonly migrations?: Readonly<Record<string, Migration>>;
  /** Called once, in the order of the list. May use the services of slices before it; provides its own. */
  readonly setup: (kernel: Kernel) => SliceParts | Promise<SliceParts>;
}

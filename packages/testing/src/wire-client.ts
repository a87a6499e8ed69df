/** A bare client of the wire contract: sends what it is told to and keeps every frame, also those that official clients hide. */
import { WebSocket } from "ws";
import type { IncomingHttpHeaders } from "node:http";
import { until, within } from "./deadline.ts";
import type { ClientEnvironment } from "./env-file.ts";
import { checkReply } from "./wire-contract.ts";

export interface WireReply {
  readonly id: unknown;
  readonly result?: { readonly ok?: unknown; readonly error?: WireError };
  readonly error?: { readonly code: number; readonly message: string; readonly data?: unknown };
}
export interface WireError {
  readonly constructorName: string;
  readonly message: string;
  readonly name?: string | null;
  readonly code?: string | null;
}
export interface WireFrame {
  /** Milliseconds since the connection opened. */
  readonly at: number;
  readonly text: string;
  /** Undefined when the text is not JSON. */
  readonly json: Record<string, unknown> | undefined;
}

/** The server answered the upgrade with something else than 101. */
export class UpgradeRefused extends Error {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
  constructor(status: number, headers: IncomingHttpHeaders, body: string) {
    super(`Upgrade refused: ${status} ${body}`);
    this.status = status;
    this.headers = headers;
    this.body = body;
  }
}

export interface WireOptions {
  readonly env: ClientEnvironment;
  /** Create with this configuration (an object, or the header's exact text)... */
  readonly config?: unknown;
  /** ...or connect to this sandbox. */
  readonly id?: string;
  readonly headers?: Record<string, string>;
  /** Leave out the header `x-deno-sandbox-config`. */
  readonly withoutConfig?: boolean;
  /** Answer no protocol pings. */
  readonly withoutPongs?: boolean;
}

export class WireClient {
  readonly socket: WebSocket;
  readonly headers: IncomingHttpHeaders;
  readonly frames: WireFrame[] = [];
  readonly closed: Promise<{ code: number; reason: string }>;
  #nextId = 1;
  readonly #opened = performance.now();

  private constructor(socket: WebSocket, headers: IncomingHttpHeaders) {
    this.socket = socket;
    this.headers = headers;
    this.closed = new Promise((resolve) =>
      socket.once("close", (code, reason) => resolve({ code, reason: String(reason) })),
    );
    socket.on("error", () => undefined);
    socket.on("message", (data) => {
      const text = (data as Buffer).toString("utf8");
      let json: Record<string, unknown> | undefined;
      try {
        json = JSON.parse(text) as Record<string, unknown>;
      } catch {
        json = undefined;
      }
      this.frames.push({ at: performance.now() - this.#opened, text, json });
    });
  }

  /** @throws UpgradeRefused */
  static async open(options: WireOptions): Promise<WireClient> {
    const base = options.env.DENO_SANDBOX_ENDPOINT.replace(/^http/, "ws");
    const path = options.id === undefined ? "/api/v3/sandboxes/create" : `/api/v3/sandbox/${options.id}/connect`;
    const headers: Record<string, string> = { authorization: `Bearer ${options.env.DENO_DEPLOY_TOKEN}` };
    if (options.id === undefined && options.withoutConfig !== true) {
      const config = options.config ?? { memory_mb: 1280, volumes: [] };
      headers["x-deno-sandbox-config"] =
        typeof config === "string" ? config : Buffer.from(JSON.stringify(config)).toString("base64");
    }
    const socket = new WebSocket(base + path, {
      headers: { ...headers, ...options.headers },
      perMessageDeflate: false,
      autoPong: options.withoutPongs !== true,
    });
    const opened = new Promise<WireClient>((resolve, reject) => {
      socket.once("error", reject);
      socket.once("upgrade", (response) => {
        // Before the `open` event: frames that come with the 101 in one read must not be missed.
        const client = new WireClient(socket, response.headers);
        socket.once("open", () => resolve(client));
      });
      socket.once("unexpected-response", (_request, response) => {
        let body = "";
        response.setEncoding("utf8");
        response.on("data", (text: string) => (body += text));
        response.on("end", () => reject(new UpgradeRefused(response.statusCode ?? 0, response.headers, body)));
      });
    });
    return within(20_000, "the upgrade", opened);
  }

  get sandboxId(): string {
    return String(this.headers["x-deno-sandbox-id"]);
  }

  sendText(text: string): void {
    this.socket.send(text);
  }

  notify(method: string, params: unknown): void {
    this.sendText(JSON.stringify({ jsonrpc: "2.0", method, params }));
  }

  /** Sends without waiting for the answer. */
  request(method: string, params: unknown, id: unknown = this.#nextId++): unknown {
    this.sendText(JSON.stringify({ jsonrpc: "2.0", id, method, params }));
    return id;
  }

  reply(id: unknown, limit = 20_000): Promise<WireReply> {
    return until(
      limit,
      `the reply to request ${String(id)}`,
      () => this.#find((json) => json["id"] === id && !("method" in json)) as WireReply | undefined,
      5,
    );
  }

  /** The whole answer, also when it is an error. @throws Error when it is not what the contract says */
  async call(method: string, params: unknown = {}, limit = 20_000): Promise<WireReply> {
    const reply = await this.reply(this.request(method, params), limit);
    checkReply(method, reply);
    return reply;
  }

  /** The `ok` value. @throws Error when the answer is an error of any kind */
  async ok(method: string, params: unknown = {}, limit = 20_000): Promise<unknown> {
    const reply = await this.call(method, params, limit);
    if (reply.result === undefined || !("ok" in reply.result)) throw new Error(`${method}: ${JSON.stringify(reply)}`);
    return reply.result.ok;
  }

  /** All notifications about a stream so far, in order: the last word of the method and the decoded bytes. */
  stream(streamId: number): { kind: string; data: Buffer; at: number }[] {
    return this.frames.flatMap((frame) => {
      const method = frame.json?.["method"];
      const params = frame.json?.["params"] as { streamId?: number; data?: string } | undefined;
      if (typeof method !== "string" || !method.startsWith("$sandbox.stream.") || params?.streamId !== streamId)
        return [];
      return [
        { kind: method.slice("$sandbox.stream.".length), data: Buffer.from(params.data ?? "", "base64"), at: frame.at },
      ];
    });
  }

  /** Waits for the stream's `end` and answers with its bytes. */
  async streamBytes(streamId: number, limit = 20_000): Promise<Buffer> {
    await until(
      limit,
      `the end of stream ${streamId}`,
      () => this.stream(streamId).some((event) => event.kind === "end"),
      5,
    );
    return Buffer.concat(this.stream(streamId).map((event) => event.data));
  }

  /** Close handshake, then waits for the server's part. */
  async close(code?: number): Promise<void> {
    this.socket.close(code);
    await within(10_000, "the close handshake", this.closed);
  }

  #find(matches: (json: Record<string, unknown>) => boolean): Record<string, unknown> | undefined {
    return this.frames.find((frame) => frame.json !== undefined && matches(frame.json))?.json;
  }
}

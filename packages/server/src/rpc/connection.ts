/** One WebSocket of a client: reads and writes frames, and ends cleanly (wire contract 2.4, T8, T16, T17). */
import { messageSchema, rpcCloseCodes } from "@caisson/api";
import type { Logger } from "pino";
import type { WebSocket } from "ws";
import type { LiveSandbox, SandboxConnection } from "../sandboxes/index.ts";
import type { Methods } from "./call.ts";
import type { ConnectionState } from "./connection-state.ts";
import { Dispatcher, type DispatcherOptions } from "./dispatcher.ts";
import { notificationFrame } from "./frames.ts";
import { Sender } from "./sender.ts";
import type { HoldBack } from "./streams/hold-back.ts";
import { InboundStreams } from "./streams/inbound.ts";
import { OutboundStreams } from "./streams/outbound.ts";
import { roundTrip } from "./round-trip.ts";

/** Milliseconds for the client to answer our Close. Then its socket is cut. */
const closeTimeout = 5000;
/** Milliseconds between protocol pings. A short grace needs more. */
const usualPingInterval = 10_000;
/** With more unsent replies than this, nothing more is read from the client. Bytes. */
const maxUnsent = 16 * 2 ** 20;

export interface ConnectionOptions {
  readonly socket: WebSocket;
  readonly sandbox: LiveSandbox;
  readonly methods: Methods;
  /** See `Call.extraCa`. */
  readonly extraCa: readonly string[];
  /** Milliseconds without any frame after which the client counts as disconnected. */
  readonly grace: number;
  readonly replyBytes: number;
  readonly log: Logger;
  readonly observe: DispatcherOptions["observe"];
  /** Called once when the connection has ended, for whatever reason. */
  readonly onEnd: () => void;
}

export class Connection implements SandboxConnection {
  readonly #options: ConnectionOptions;
  readonly #sender: Sender;
  readonly #state: ConnectionState;
  readonly #dispatcher: Dispatcher;
  readonly #ended = new AbortController();
  readonly #pings: NodeJS.Timeout;
  #lastSeen = performance.now();
  #closing = false;

  constructor(options: ConnectionOptions) {
    this.#options = options;
    const { socket, sandbox, log } = options;
    this.#sender = new Sender(socket);
    this.#state = createState(this.#sender, socket, this.#ended.signal, log);
    this.#dispatcher = new Dispatcher({
      methods: options.methods,
      state: this.#state,
      sandbox,
      extraCa: options.extraCa,
      sender: this.#sender,
      replyBytes: options.replyBytes,
      log,
      observe: options.observe,
    });
    // Each stream that starts or ends waits for a pong of its own.
    socket.setMaxListeners(0);
    socket.on("message", (data: Buffer) => this.#onMessage(data));
    socket.on("pong", () => (this.#lastSeen = performance.now()));
    socket.on("ping", () => (this.#lastSeen = performance.now()));
    socket.on("error", (error) => log.debug({ err: error }, "a client's socket failed"));
    socket.on("close", () => this.#onClose());
    this.#pings = setInterval(() => this.#checkAlive(), Math.min(usualPingInterval, options.grace / 3));
    sandbox.connections.add(this);
  }

  #onMessage(data: Buffer): void {
    this.#lastSeen = performance.now();
    if (this.#closing) return;
    if (data.length === 4 && data.toString("latin1") === "ping") return this.#sender.send("pong");
    let value: unknown;
    try {
      value = JSON.parse(data.toString("utf8"));
    } catch {
      return this.close(rpcCloseCodes.invalidJson, "Invalid JSON");
    }
    const parsed = messageSchema.safeParse(value);
    if (!parsed.success) return this.close(rpcCloseCodes.invalidMessage, "Invalid JSON-RPC message");
    const { id, method, params } = parsed.data;
    if (id !== undefined) this.#dispatcher.dispatch(id, method, params);
    else if (method === "$sandbox.stream.cancel") this.#cancelStream(params);
    else this.#state.inbound.receive(method, params);
    if (this.#sender.unsent > maxUnsent) this.#waitForClient();
  }

  #cancelStream(params: unknown): void {
    const id = (params as { streamId?: unknown } | null | undefined)?.streamId;
    if (typeof id === "number") this.#state.outbound.cancel(id);
  }

  /** A client that sends requests and does not read the replies is not read from until it does. */
  #waitForClient(): void {
    const { socket } = this.#options;
    socket.pause();
    const timer = setInterval(() => {
      if (this.#sender.unsent > maxUnsent / 2 && socket.readyState === socket.OPEN) return;
      clearInterval(timer);
      this.#lastSeen = performance.now();
      if (!this.#state.inbound.paused) socket.resume();
    }, 50);
  }

  #checkAlive(): void {
    const { socket, grace, log } = this.#options;
    // While we do not read, nothing can arrive.
    if (socket.isPaused) this.#lastSeen = Math.max(this.#lastSeen, performance.now() - grace / 2);
    if (performance.now() - this.#lastSeen > grace) {
      log.info("a client is disconnected: nothing came from it within the grace");
      socket.terminate();
    } else if (socket.readyState === socket.OPEN) socket.ping();
  }

  close(code: number, reason: string): void {
    if (this.#closing) return;
    this.#closing = true;
    const { socket } = this.#options;
    const error = { constructorName: "Error", message: `The connection was closed: ${reason}`, code: null };
    this.#dispatcher.answerAll(error);
    this.#state.outbound.close(error);
    // A reason has at most 123 bytes.
    socket.close(code, Buffer.from(reason).subarray(0, 120).toString("utf8").replaceAll("\ufffd", ""));
    socket.resume();
    setTimeout(() => socket.terminate(), closeTimeout).unref();
  }

  #onClose(): void {
    const { sandbox, onEnd, log } = this.#options;
    clearInterval(this.#pings);
    sandbox.connections.delete(this);
    this.#closing = true;
    this.#ended.abort(new Error("The connection has ended."));
    this.#state.inbound.close();
    this.#state.outbound.close();
    for (const held of this.#state.heldBack.values()) held.release();
    for (const handle of this.#state.handles.values()) {
      // The agent frees handles with its session as well.
      sandbox.agent.files
        .close({ handle }, { timeoutMs: 10_000 })
        .catch((error: unknown) => log.debug({ err: error }, "a handle was not closed"));
    }
    this.#state.handles.clear();
    onEnd();
  }
}

function createState(sender: Sender, socket: WebSocket, signal: AbortSignal, log: Logger): ConnectionState {
  let lastHandle = 0;
  return {
    inbound: new InboundStreams(sender, { pause: () => socket.pause(), resume: () => socket.resume() }),
    outbound: new OutboundStreams(sender, () => roundTrip(socket), log),
    handles: new Map<number, bigint>(),
    aborts: new Map<number, AbortController>(),
    heldBack: new Map<number, HoldBack>(),
    signal,
    nextHandle: () => ++lastHandle,
    notify: (method, params) => sender.send(notificationFrame(method, params)),
  };
}

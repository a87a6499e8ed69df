/** One WebSocket of a client: reads and writes frames, and ends cleanly (wire contract 2.4, T8, T16, T17). */
import { messageSchema, rpcCloseCodes, rpcCodes } from "@caisson/api";
import { setTimeout as sleep } from "node:timers/promises";
import type { Duplex } from "node:stream";
import type { Logger } from "pino";
import type { WebSocket } from "ws";
import type { Hold } from "../kernel/memory/budget.ts";
import type { Turn } from "../kernel/turns.ts";
import type { LiveSandbox, SandboxConnection } from "../sandboxes/index.ts";
import type { Methods } from "./call.ts";
import type { ConnectionState } from "./connection-state.ts";
import { Dispatcher, type DispatcherOptions } from "./dispatcher.ts";
import { faultFrame, notificationFrame } from "./frames.ts";
import { FrameTooLarge, parseFrame, parseInTurns, type ParsedFrame } from "./incoming/parse.ts";
import { Receiver } from "./incoming/receiver.ts";
import type { Memory } from "./memory/ledger.ts";
import { Sender } from "./sender.ts";
import type { HoldBack } from "./streams/hold-back.ts";
import { InboundStreams } from "./streams/inbound.ts";
import { OutboundStreams } from "./streams/outbound.ts";
import { roundTrip } from "./round-trip.ts";

/** Milliseconds for the client to answer our Close. Then its socket is cut. */
const closeTimeout = 5000;
/** Milliseconds between protocol pings. A short grace needs more. */
const usualPingInterval = 10_000;
/** Frames from this size on are parsed in steps, bytes. */
const largeFrame = 4 * 2 ** 20;
/** With more unsent replies than this, nothing more is read from the client. Bytes. */
const maxUnsent = 4 * 2 ** 20;
/** Milliseconds that a connection which closes gives the client to read the rest of a large reply. */
const lastReply = 2000;
/** Memory of an open connection: its buffers, its state. Bytes. */
export const connectionBytes = 128 * 1024;

export interface ConnectionOptions {
  readonly socket: WebSocket;
  /** Below the WebSocket. */
  readonly stream: Duplex;
  readonly sandbox: LiveSandbox;
  readonly memory: Memory;
  /** What the connection itself takes of `memory`. */
  readonly hold: Hold;
  /** Of the organisation. */
  readonly turn: Turn;
  /** Largest frame that is accepted, bytes. */
  readonly messageBytes: number;
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
  readonly #receiver: Receiver;
  readonly #ended = new AbortController();
  readonly #pings: NodeJS.Timeout;
  #lastSeen = performance.now();
  #closing = false;
  #waiting = false;

  constructor(options: ConnectionOptions) {
    this.#options = options;
    const { socket, stream, sandbox, memory, turn, messageBytes, log } = options;
    this.#sender = new Sender(socket, turn);
    this.#receiver = new Receiver({
      socket,
      stream,
      turn,
      content: memory.content,
      messageBytes,
      signal: this.#ended.signal,
      refuse: () => this.close(1013, "No memory was free for a large message. Send fewer large messages at a time."),
      handle: (frame, hold) => this.#onMessage(frame, hold),
    });
    this.#state = this.#createState();
    this.#dispatcher = new Dispatcher({
      methods: options.methods,
      state: this.#state,
      sandbox,
      memory,
      turn,
      extraCa: options.extraCa,
      sender: this.#sender,
      replyBytes: options.replyBytes,
      log,
      observe: options.observe,
    });
    // Each stream that starts or ends waits for a pong of its own.
    socket.setMaxListeners(0);
    socket.on("pong", () => (this.#lastSeen = performance.now()));
    socket.on("ping", (data: Buffer) => this.#onPing(data));
    socket.on("error", (error) => log.debug({ err: error }, "a client's socket failed"));
    socket.on("close", () => this.#onClose());
    this.#pings = setInterval(() => this.#checkAlive(), Math.min(usualPingInterval, options.grace / 3));
    sandbox.connections.add(this);
  }

  /** Pongs of a client that does not read would collect without end. */
  #onPing(data: Buffer): void {
    this.#lastSeen = performance.now();
    const { socket } = this.#options;
    if (socket.readyState === socket.OPEN) socket.pong(data);
    if (this.#sender.unsent > maxUnsent) this.#waitForClient();
  }

  /** @param hold memory of a large frame */
  #onMessage(data: Buffer, hold: Hold | undefined): void | Promise<void> {
    this.#lastSeen = performance.now();
    if (this.#closing) return hold?.release();
    if (data.length === 4 && data.toString("latin1") === "ping") this.#sender.send("pong");
    else {
      const taken = this.#onJson(data, hold);
      if (taken !== undefined) return taken;
    }
    if (this.#sender.unsent > maxUnsent) this.#waitForClient();
  }

  #onJson(data: Buffer, hold: Hold | undefined): void | Promise<void> {
    if (data.length >= largeFrame) return this.#onLargeJson(data, hold);
    let frame: ParsedFrame;
    try {
      frame = parseFrame(data);
    } catch (error) {
      return this.#refuseFrame(error, hold);
    }
    return this.#onFrame(frame, data.length, hold);
  }

  async #onLargeJson(data: Buffer, hold: Hold | undefined): Promise<void> {
    let frame: ParsedFrame;
    try {
      frame = await parseInTurns(data, this.#options.turn);
    } catch (error) {
      return this.#refuseFrame(error, hold);
    }
    if (this.#closing) hold?.release();
    else await this.#onFrame(frame, data.length, hold);
  }

  #onFrame(frame: ParsedFrame, bytes: number, hold: Hold | undefined): void | Promise<void> {
    const parsed = messageSchema.safeParse(frame.value);
    if (!parsed.success) {
      this.close(rpcCloseCodes.invalidMessage, "Invalid JSON-RPC message");
      return hold?.release();
    }
    const { id, method, params } = parsed.data;
    if (id !== undefined) return this.#dispatcher.dispatch({ id, name: method, params, long: frame.long, bytes, hold });
    if (method === "$sandbox.stream.cancel") this.#cancelStream(params);
    else if (this.#state.inbound.receive(method, params, frame.long, hold)) return;
    hold?.release();
  }

  #refuseFrame(error: unknown, hold: Hold | undefined): void {
    hold?.release();
    if (!(error instanceof FrameTooLarge)) this.close(rpcCloseCodes.invalidJson, "Invalid JSON");
    // Without an id nobody could be answered.
    else if (error.id === undefined) this.close(rpcCloseCodes.invalidMessage, error.message);
    else this.#sender.send(faultFrame(error.id, { code: rpcCodes.invalidParams, message: error.message }));
  }

  #cancelStream(params: unknown): void {
    const id = (params as { streamId?: unknown } | null | undefined)?.streamId;
    if (typeof id === "number") this.#state.outbound.cancel(id);
  }

  /** A client that sends requests and does not read the replies is not read from until it does. */
  #waitForClient(): void {
    if (this.#waiting) return;
    this.#waiting = true;
    this.#receiver.stop();
    const { socket } = this.#options;
    const timer = setInterval(() => {
      if (this.#sender.unsent > maxUnsent / 2 && socket.readyState === socket.OPEN) return;
      clearInterval(timer);
      this.#waiting = false;
      this.#lastSeen = performance.now();
      this.#receiver.resume();
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
    const text = Buffer.from(reason).subarray(0, 120).toString("utf8").replaceAll("\ufffd", "");
    const finish = () => {
      socket.close(code, text);
      socket.resume();
      setTimeout(() => socket.terminate(), closeTimeout).unref();
    };
    // The answers above wait behind a large reply.
    const { idle } = this.#sender;
    if (idle === undefined) finish();
    else void Promise.race([idle, sleep(lastReply, undefined, { ref: false })]).then(finish);
  }

  #onClose(): void {
    const { sandbox, onEnd, log } = this.#options;
    clearInterval(this.#pings);
    sandbox.connections.delete(this);
    this.#closing = true;
    this.#ended.abort(new Error("The connection has ended."));
    this.#receiver.close();
    this.#state.inbound.close();
    this.#state.outbound.close();
    this.#options.hold.release();
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

  #createState(): ConnectionState {
    const { socket, memory, turn, log } = this.#options;
    const sender = this.#sender;
    const reading = { pause: () => this.#receiver.stop(), resume: () => this.#receiver.resume() };
    let lastHandle = 0;
    return {
      inbound: new InboundStreams(sender, reading, memory, turn),
      outbound: new OutboundStreams(sender, () => roundTrip(socket), log),
      handles: new Map<number, bigint>(),
      aborts: new Map<number, AbortController>(),
      heldBack: new Map<number, HoldBack>(),
      outputs: new Map<number, Promise<void>>(),
      signal: this.#ended.signal,
      nextHandle: () => ++lastHandle,
      notify: (method, params) => sender.send(notificationFrame(method, params)),
    };
  }
}

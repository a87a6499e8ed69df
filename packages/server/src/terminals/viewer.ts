/** One WebSocket that shows a terminal. */
import { check, terminalCommand, type TerminalNotice } from "@caisson/api";
import type { Logger } from "pino";
import type { RawData, WebSocket } from "ws";
import type { Hold } from "../kernel/memory/budget.ts";
import { terminalLimits } from "./limits.ts";

/** Close codes of RFC 6455 7.4.1, and one of our own. */
export const closeCodes = { normal: 1000, away: 1001, policy: 1008, slow: 4008 } as const;

/** What a viewer may do to its terminal. */
export interface Controls {
  /** False: the program takes no more now. `ready` is called when it does. */
  input(data: Buffer, ready: () => void): boolean;
  resize(rows: number, columns: number): void;
  signal(name: string): Promise<void>;
  close(): void;
  /** Output was sent. */
  drained(): void;
  left(): void;
}

export interface ViewerOptions {
  readonly socket: WebSocket;
  /** It sees everything and changes nothing. */
  readonly readOnly: boolean;
  /** Given back at the end. */
  readonly hold: Hold;
  readonly controls: Controls;
  readonly log: Logger;
}

export class Viewer {
  readonly #options: ViewerOptions;
  readonly #pings: NodeJS.Timeout;
  #alive = true;
  #closing = false;

  constructor(options: ViewerOptions) {
    this.#options = options;
    const { socket, hold, controls } = options;
    this.#pings = setInterval(() => this.#ping(), terminalLimits.ping);
    socket.on("pong", () => (this.#alive = true));
    socket.on("error", (error: unknown) => options.log.debug({ err: error }, "a terminal's viewer failed"));
    socket.on("message", (data, binary) => this.#received(data, binary));
    socket.once("close", () => {
      clearInterval(this.#pings);
      hold.release();
      controls.left();
    });
  }

  /** Bytes that wait to be sent. */
  get unsent(): number {
    return this.#options.socket.bufferedAmount;
  }

  output(data: Buffer): void {
    if (this.#closing) return;
    const { socket, controls } = this.#options;
    if (this.unsent + data.length > terminalLimits.behind) {
      this.close(closeCodes.slow, "This viewer is too slow. Attach again: the scrollback has the latest output.");
      return;
    }
    socket.send(data, { binary: true }, () => controls.drained());
  }

  tell(notice: TerminalNotice): void {
    if (!this.#closing) this.#options.socket.send(JSON.stringify(notice));
  }

  close(code: number, reason: string): void {
    if (this.#closing) return;
    this.#closing = true;
    const { socket } = this.#options;
    socket.close(code, reason);
    // It may never read what was sent before.
    const timer = setTimeout(() => socket.terminate(), terminalLimits.linger);
    socket.once("close", () => clearTimeout(timer));
  }

  #ping(): void {
    const { socket } = this.#options;
    if (!this.#alive) return socket.terminate();
    this.#alive = false;
    socket.ping();
  }

  #received(data: RawData, binary: boolean): void {
    if (this.#closing) return;
    // `ws` gives a Buffer as long as nothing else was asked for.
    const message = data as Buffer;
    if (binary) this.#input(message);
    else this.#command(message.toString());
  }

  #input(data: Buffer): void {
    const { socket, readOnly, controls } = this.#options;
    if (readOnly) return this.tell({ type: "error", message: "This viewer is read-only." });
    if (controls.input(data, () => socket.resume())) return;
    // Nothing more is read from a viewer that types faster than the program reads.
    socket.pause();
  }

  #command(text: string): void {
    const { readOnly, controls } = this.#options;
    const checked = check(terminalCommand, parse(text));
    if (!checked.success)
      return this.close(closeCodes.policy, "A text frame must be a TerminalCommand of the API document.");
    if (readOnly) return this.tell({ type: "error", message: "This viewer is read-only." });
    const command = checked.data;
    if (command.type === "resize") controls.resize(command.rows, command.columns);
    else if (command.type === "close") controls.close();
    else
      controls
        .signal(command.signal)
        .catch(() => this.tell({ type: "error", message: `${command.signal} could not be sent.` }));
  }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** One WebSocket that shows a terminal. */
import { check, terminalCommand, type TerminalNotice } from "@caisson/api";
import type { Logger } from "pino";
import type { RawData, WebSocket } from "ws";
import { policyViolation } from "../kernel/http/accept-upgrade.ts";
import type { Hold } from "../kernel/memory/budget.ts";
import { terminalLimits } from "./limits.ts";

/** Close codes of RFC 6455 7.4.1, and one of our own. */
export const closeCodes = { normal: 1000, away: 1001, policy: policyViolation, slow: 4008 } as const;

/** Memory of a frame that waits to be sent, beside its bytes: objects of `ws` and of Node.js. Bytes, estimated. */
const frameBytes = 512;

/** What a viewer may do to its terminal. */
export interface Controls {
  /** @returns a promise, when the program takes no more now: it resolves when the program does, and never rejects */
  input(data: Buffer): Promise<void> | undefined;
  /** Never rejects: a size that did not arrive is followed by another. */
  resize(rows: number, columns: number): Promise<void>;
  signal(name: string): Promise<void>;
  close(): void;
  /** A frame was sent. */
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
  /** Frames that were not sent yet. */
  #frames = 0;
  /** Settles when all commands so far were carried out. */
  #commands: Promise<void> = Promise.resolve();
  /** How many reasons there are to read nothing more from the client. */
  #reasonsToWait = 0;

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

  /** Memory of what waits to be sent, bytes. */
  get unsent(): number {
    return this.#options.socket.bufferedAmount + this.#frames * frameBytes;
  }

  output(data: Buffer): void {
    this.#send(data);
  }

  tell(notice: TerminalNotice): void {
    this.#send(JSON.stringify(notice));
  }

  /** What the client still sends is ignored. */
  close(code: number, reason: string): void {
    if (this.#closing) return;
    this.#closing = true;
    const { socket } = this.#options;
    socket.close(code, reason);
    // Its answer must be read.
    socket.resume();
    // It may never read what was sent before.
    const timer = setTimeout(() => socket.terminate(), terminalLimits.linger);
    socket.once("close", () => clearTimeout(timer));
  }

  /** Sends bytes or text. A client can cause notices as well as output, so both count: one that does not read is disconnected. */
  #send(message: Buffer | string): void {
    if (this.#closing) return;
    const { socket, controls } = this.#options;
    if (this.unsent + message.length > terminalLimits.behind) {
      this.close(closeCodes.slow, "This viewer is too slow. Attach again: the scrollback has the latest output.");
      return;
    }
    this.#frames++;
    socket.send(message, () => {
      this.#frames--;
      controls.drained();
    });
  }

  #ping(): void {
    const { socket } = this.#options;
    // While we do not read, no pong can arrive.
    if (socket.isPaused) this.#alive = true;
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
    const { readOnly, controls } = this.#options;
    if (readOnly) return this.tell({ type: "error", message: "This viewer is read-only." });
    // Nothing more is read from a viewer that types faster than the program reads.
    const taken = controls.input(data);
    if (taken !== undefined) this.#waitFor(taken);
  }

  #command(text: string): void {
    const { readOnly, controls } = this.#options;
    const checked = check(terminalCommand, parse(text));
    if (!checked.success)
      return this.close(closeCodes.policy, "A text frame must be a TerminalCommand of the API document.");
    if (readOnly) return this.tell({ type: "error", message: "This viewer is read-only." });
    const command = checked.data;
    if (command.type === "close") return controls.close();
    const carryOut = () =>
      command.type === "resize"
        ? controls.resize(command.rows, command.columns)
        : controls
            .signal(command.signal)
            .catch(() => this.tell({ type: "error", message: `${command.signal} could not be sent.` }));
    // Each is a call to the sandbox, so one viewer has one at a time.
    this.#commands = this.#commands.then(carryOut);
    this.#waitFor(this.#commands);
  }

  /** Reads nothing more from the client until then. What has arrived is still handled. @param until never rejects */
  #waitFor(until: Promise<void>): void {
    const { socket } = this.#options;
    this.#reasonsToWait++;
    socket.pause();
    void until.then(() => {
      if (--this.#reasonsToWait > 0) return;
      // A pong may have waited to be read.
      this.#alive = true;
      socket.resume();
    });
  }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

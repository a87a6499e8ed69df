/** A small client for the QEMU Machine Protocol (qemu.org, interop/qmp-spec): commands with deadlines, and events. */
import { createConnection, type Socket } from "node:net";
import { monitorLimits, TokenBucket } from "@caisson/guest-port";
import { CaissonError } from "@caisson/protocol";
import { QmpLines, type QmpMessage } from "./qmp-lines.ts";

export interface QmpEvent {
  readonly name: string;
  readonly data: QmpMessage;
}

interface Waiting {
  readonly command: string;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: CaissonError) => void;
  readonly timer: NodeJS.Timeout;
}

/** More outstanding commands would be a bug of ours; QEMU itself queues eight. */
const maximumOutstanding = 64;

export class Qmp {
  /** Resolves when the connection has ended, for whatever reason. */
  readonly closed: Promise<void>;
  readonly #socket: Socket;
  readonly #uninvited = {
    events: new TokenBucket(monitorLimits.events),
    bytes: new TokenBucket(monitorLimits.bytes),
  };
  #flooded = false;
  readonly #waiting = new Map<number, Waiting>();
  readonly #listeners = new Set<(event: QmpEvent) => void>();
  #nextId = 1;

  private constructor(socket: Socket) {
    this.#socket = socket;
    const lines = new QmpLines();
    socket.on("data", (chunk: Buffer) => {
      try {
        for (const { message, bytes } of lines.push(chunk)) {
          this.#receive(message, bytes);
          if (socket.destroyed) return;
        }
      } catch (error) {
        socket.destroy(error as Error);
      }
    });
    this.closed = new Promise((resolve) => {
      socket.once("close", () => {
        for (const waiting of this.#waiting.values()) {
          clearTimeout(waiting.timer);
          waiting.reject(
            new CaissonError("unavailable", `The virtual machine monitor ended before it answered ${waiting.command}.`),
          );
        }
        this.#waiting.clear();
        resolve();
      });
    });
    // The close event follows. Without a listener an error would end this process.
    socket.on("error", () => undefined);
  }

  /**
   * Connects and negotiates. The socket listens before QEMU runs, so this waits for QEMU to start.
   * @throws CaissonError `unavailable`, `timeout`
   */
  static async connect(path: string, options: { deadlineMs: number }): Promise<Qmp> {
    const socket = createConnection({ path });
    const qmp = new Qmp(socket);
    // QEMU reads this only after it has sent its greeting, so there is no need to wait for that.
    await qmp.execute("qmp_capabilities", {}, options);
    return qmp;
  }

  /**
   * @returns the `return` member of the answer
   * @throws CaissonError `internal` when QEMU refuses, `timeout`, `unavailable` when the connection ends
   */
  execute(command: string, args: object = {}, options: { deadlineMs?: number } = {}): Promise<unknown> {
    return new Promise((resolve, reject) => {
      if (this.#socket.destroyed) {
        reject(new CaissonError("unavailable", "The virtual machine monitor has ended."));
        return;
      }
      if (this.#waiting.size >= maximumOutstanding) {
        reject(
          new CaissonError("resource_exhausted", "Too many commands are waiting for the virtual machine monitor."),
        );
        return;
      }
      const id = this.#nextId++;
      const timer = setTimeout(() => {
        this.#waiting.delete(id);
        reject(new CaissonError("timeout", `The virtual machine monitor did not answer ${command} in time.`));
      }, options.deadlineMs ?? 10_000);
      this.#waiting.set(id, { command, resolve, reject, timer });
      this.#socket.write(`${JSON.stringify({ execute: command, arguments: args, id })}\n`);
    });
  }

  /** @returns a function that ends the subscription */
  onEvent(listener: (event: QmpEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /**
   * Whether the connection ended because the monitor sent more messages than it may that no command asked for. A guest can cause events,
   * and each takes time of the process that serves everybody.
   */
  get flooded(): boolean {
    return this.#flooded;
  }

  /** Leaves the monitor running; it then takes the next connection. */
  close(): void {
    this.#socket.destroy();
  }

  #receive(message: QmpMessage, bytes: number): void {
    if (typeof message["event"] === "string") {
      if (!this.#mayCome(bytes)) return;
      const data = message["data"];
      const event = {
        name: message["event"],
        data: typeof data === "object" && data !== null ? (data as QmpMessage) : {},
      };
      for (const listener of this.#listeners) listener(event);
      return;
    }
    const id = message["id"];
    const waiting = typeof id === "number" ? this.#waiting.get(id) : undefined;
    if (waiting === undefined || typeof id !== "number") {
      this.#mayCome(bytes);
      return;
    }
    this.#waiting.delete(id);
    clearTimeout(waiting.timer);
    if ("return" in message) {
      waiting.resolve(message["return"]);
      return;
    }
    const error = message["error"] as { desc?: unknown } | undefined;
    const description = typeof error?.desc === "string" ? error.desc.slice(0, 500) : "no reason given";
    waiting.reject(
      new CaissonError("internal", `The virtual machine monitor refused ${waiting.command}: ${description}`),
    );
  }

  /** Counts a message that no command asked for. Ends the connection when there were too many. */
  #mayCome(bytes: number): boolean {
    const { events, bytes: allowed } = this.#uninvited;
    if (events.take(1) + allowed.take(bytes) === 0) return true;
    this.#flooded = true;
    this.#socket.destroy();
    return false;
  }
}

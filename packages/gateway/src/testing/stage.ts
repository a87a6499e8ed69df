/** The gateway with one exposed port, without TLS, for those who write and read bytes themselves. */
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { configSchema, type HttpGateway, type Visit } from "@caisson/protocol";
import { connectTo } from "@caisson/testing/fuzz";
import { pino } from "pino";
import { createGateway } from "../index.ts";
import { listen } from "./listen.ts";

export class Stage {
  readonly visits: Visit[] = [];
  /** Opens a connection to the program inside. The label of the address is the name that was asked for. */
  connect: (label: string) => Promise<Duplex> = () => Promise.reject(new Error("nobody plays"));
  readonly #gateway: HttpGateway;
  readonly #port: number;

  private constructor(gateway: HttpGateway) {
    this.#gateway = gateway;
    this.#port = Number(gateway.addressOf("abc").split(":")[1]);
    gateway.onVisit((visit) => this.visits.push(visit));
  }

  static async open(): Promise<Stage> {
    const config = { ...configSchema.parse({}).gateway, tls: false };
    const gateway = createGateway({
      config,
      port: 0,
      issue: () => Promise.reject(new Error("no TLS here")),
      log: pino({ level: "silent" }),
    });
    const { signal } = new AbortController();
    await listen(gateway, {
      find: (label) => Promise.resolve({ workloadId: label, ended: signal, connect: () => stage.connect(label) }),
    });
    const stage = new Stage(gateway);
    return stage;
  }

  /** The text of a request to the program `label`. */
  ask(method: string, label: string, ...more: string[]): string {
    return [`${method} / HTTP/1.1`, `host: ${label}.localhost`, ...more, "", ""].join("\r\n");
  }

  async visit(): Promise<Visitor> {
    return new Visitor(await connectTo(this.#port));
  }

  async close(): Promise<void> {
    await this.#gateway.close();
  }
}

/** Keeps what it is sent. */
export class Visitor {
  readonly socket: Socket;
  readonly #pieces: Buffer[] = [];
  #woken: () => void = () => undefined;

  constructor(socket: Socket) {
    this.socket = socket;
    socket.on("error", () => undefined);
    socket.on("data", (piece) => {
      this.#pieces.push(piece);
      this.#woken();
    });
    socket.once("close", () => this.#woken());
  }

  /** What came until now. */
  get bytes(): Buffer {
    return Buffer.concat(this.#pieces);
  }

  /** What came when it is enough, or when the connection has ended. */
  async until(enough: (bytes: Buffer) => boolean): Promise<Buffer> {
    while (!this.socket.closed && !enough(this.bytes)) {
      await new Promise<void>((resolve) => {
        this.#woken = resolve;
      });
    }
    return this.bytes;
  }
}

/** A client of terminals as another program would write it, by the API document alone. */
import { until } from "@caisson/testing";
import { WebSocket } from "ws";

/** Software emulation on a busy host. Milliseconds. */
const patience = 60_000;

export interface TerminalInfo {
  readonly id: string;
  readonly viewers: number;
  readonly rows: number;
  readonly columns: number;
  readonly exit: { readonly code: number; readonly signal: string | null } | null;
}

export class Api {
  readonly #base: string;
  readonly #headers: Readonly<Record<string, string>>;

  constructor(endpoint: string, token: string, sandboxId: string) {
    this.#base = `${endpoint}/api/v1/sandboxes/${sandboxId}/terminals`;
    this.#headers = { authorization: `Bearer ${token}`, "content-type": "application/json" };
  }

  async #call(method: string, path: string, body?: object): Promise<Response> {
    const init = { method, headers: this.#headers };
    return fetch(`${this.#base}${path}`, body === undefined ? init : { ...init, body: JSON.stringify(body) });
  }

  /** @throws Error with the status */
  async open(wanted: object = {}): Promise<TerminalInfo> {
    const answer = await this.#call("POST", "", wanted);
    if (answer.status !== 201) throw new Error(`${answer.status} ${await answer.text()}`);
    return (await answer.json()) as TerminalInfo;
  }

  async list(): Promise<readonly TerminalInfo[]> {
    return (await (await this.#call("GET", "")).json()) as readonly TerminalInfo[];
  }

  async find(id: string): Promise<TerminalInfo | undefined> {
    return (await this.list()).find((entry) => entry.id === id);
  }

  async close(id: string): Promise<number> {
    return (await this.#call("DELETE", `/${id}`)).status;
  }

  /** @throws Error when the upgrade is refused, with the status */
  async attach(id: string, query = ""): Promise<Viewer> {
    const url = `${this.#base.replace(/^http/, "ws")}/${id}/attach${query}`;
    const socket = new WebSocket(url, { headers: this.#headers });
    const viewer = new Viewer(socket);
    await new Promise<void>((resolve, reject) => {
      socket.once("open", resolve);
      socket.once("error", reject);
      socket.once("unexpected-response", (_, answer) => reject(new Error(`${answer.statusCode}`)));
    });
    return viewer;
  }
}

export interface Notice {
  readonly type: string;
  readonly [key: string]: unknown;
}

export class Viewer {
  readonly socket: WebSocket;
  readonly notices: Notice[] = [];
  readonly closed: Promise<{ code: number; reason: string }>;
  #output = "";

  constructor(socket: WebSocket) {
    this.socket = socket;
    socket.on("message", (data, binary) => {
      const bytes = data as Buffer;
      if (binary) this.#output += bytes.toString("latin1");
      else this.notices.push(JSON.parse(bytes.toString()) as Notice);
    });
    this.closed = new Promise((resolve) =>
      socket.once("close", (code, reason) => resolve({ code, reason: reason.toString() })),
    );
    socket.on("error", () => undefined);
  }

  get output(): string {
    return this.#output;
  }

  type(text: string): void {
    this.socket.send(Buffer.from(text), { binary: true });
  }

  command(command: object): void {
    this.socket.send(JSON.stringify(command));
  }

  /** Waits for output. */
  sees(what: string | RegExp): Promise<string> {
    const found = () => (typeof what === "string" ? this.#output.includes(what) : what.test(this.#output));
    return until(patience, `${String(what)} in ${JSON.stringify(this.#output.slice(-300))}`, () =>
      found() ? this.#output : undefined,
    );
  }

  notice(type: string): Promise<Notice> {
    return until(patience, `a notice ${type}`, () => this.notices.findLast((notice) => notice.type === type));
  }

  /** As a network that is lost: nothing is said. */
  drop(): void {
    this.socket.terminate();
  }
}

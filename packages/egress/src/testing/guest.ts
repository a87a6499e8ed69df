/** Plays the agent's side of a machine's egress port, so that attacks can be run without a machine. */
import { connect as http2Connect, type ClientHttp2Session, type ClientHttp2Stream } from "node:http2";
import { createServer, type Server, type Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { connect as tlsConnect, type ConnectionOptions, type TLSSocket } from "node:tls";

/** The proxy's answer to a CONNECT that it did not grant. */
export class ConnectRefused extends Error {
  readonly status: number;
  readonly reason: string;
  /** What connect() fails with in a sandbox. */
  readonly errno: string;
  constructor(status: number, reason: string, errno: string) {
    super(`${status} ${reason}`);
    this.status = status;
    this.reason = reason;
    this.errno = errno;
  }
}

export class Guest {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  /** PEM of the sandbox's authority, once attached. */
  ca = "";
  /** How often the proxy came to this port. */
  sessions = 0;
  #session: ClientHttp2Session | undefined;
  #socket: Socket | undefined;

  private constructor(server: Server) {
    this.#server = server;
  }

  /** @param onSocket may take the raw connection instead, to misbehave */
  static async listen(path: string, onSocket?: (socket: Socket) => void): Promise<Guest> {
    const server = createServer();
    const guest = new Guest(server);
    server.on("connection", (socket) => {
      guest.#sockets.add(socket);
      socket.once("close", () => guest.#sockets.delete(socket));
      socket.on("error", () => {});
      if (onSocket === undefined) void guest.#meet(socket);
      else onSocket(socket);
    });
    await new Promise<void>((resolve) => server.listen(path, resolve));
    return guest;
  }

  async #meet(socket: Socket): Promise<void> {
    await answerSync(socket);
    this.#socket = socket;
    this.sessions++;
    const session = http2Connect("http://caisson.egress", {
      createConnection: () => socket,
      // As the agent asks for (`agent/internal/egress/tunnel.go`).
      settings: { enablePush: false, initialWindowSize: 512 * 1024, maxFrameSize: 64 * 1024 },
    });
    session.once("connect", () => session.setLocalWindowSize(64 * 2 ** 20));
    session.on("error", () => {});
    session.once("close", () => {
      if (this.#session === session) this.#session = undefined;
    });
    this.#session = session;
  }

  /** The session with the proxy; waits until there is one. */
  async session(): Promise<ClientHttp2Session> {
    for (let tries = 0; tries < 1000; tries++) {
      if (this.#session !== undefined && !this.#session.closed && !this.#session.destroyed) return this.#session;
      await sleep(10);
    }
    throw new Error("The proxy did not come to the egress port");
  }

  /** @throws ConnectRefused */
  async connect(authority: string, address = "198.18.0.1:1"): Promise<ClientHttp2Stream> {
    const session = await this.session();
    const stream = session.request({ ":method": "CONNECT", ":authority": authority, "caisson-address": address });
    return await new Promise((resolve, reject) => {
      stream.once("error", reject);
      stream.once("response", (headers) => {
        const status = Number(headers[":status"]);
        if (status !== 200)
          return reject(
            new ConnectRefused(status, String(headers["caisson-reason"] ?? ""), String(headers["caisson-errno"] ?? "")),
          );
        stream.on("error", () => {});
        resolve(stream);
      });
    });
  }

  /** TLS to `name:port` through the proxy, trusting only the sandbox's authority unless `options` says otherwise. */
  async connectTls(authority: string, options: ConnectionOptions = {}): Promise<TLSSocket> {
    const stream = await this.connect(authority);
    const name = authority.replace(/:\d+$/, "");
    const socket = tlsConnect({
      socket: stream,
      servername: name,
      ca: this.ca,
      ALPNProtocols: ["http/1.1"],
      ...options,
    });
    await new Promise<void>((resolve, reject) => {
      socket.once("secureConnect", resolve);
      socket.once("error", reject);
      stream.once("close", () => reject(new Error("The proxy ended the connection")));
    });
    socket.on("error", () => {});
    // As the agent does when the program closes its socket.
    socket.once("close", () => stream.destroy());
    return socket;
  }

  /** Cuts the connection to the proxy, as a restarted host would. */
  cut(): void {
    this.#socket?.destroy();
  }

  async close(): Promise<void> {
    this.#session?.destroy();
    for (const socket of this.#sockets) socket.destroy();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }
}

const syncLine = /CAISSON-SYNC [0-9a-f]{32}\n/g;

/** The agent's half of the handshake: waits for a line, echoes the last one that has come. */
export function answerSync(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    let text = "";
    const take = (chunk: Buffer): void => {
      text += chunk.toString("latin1");
      const last = text.match(syncLine)?.at(-1);
      if (last === undefined) return;
      socket.off("data", take).pause();
      socket.write(last);
      resolve();
    };
    socket.on("data", take);
  });
}

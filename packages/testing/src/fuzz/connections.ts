/** Both ends of real connections: TCP, and streams of HTTP/2 as the host has them into a sandbox. */
import { once } from "node:events";
import {
  connect as connectHttp2,
  createServer as createHttp2Server,
  type ClientHttp2Session,
  type Http2Server,
} from "node:http2";
import { connect, createServer, type AddressInfo, type Server, type Socket } from "node:net";
import type { Duplex } from "node:stream";

export class Connections {
  readonly #tcp: Server;
  readonly #http2: Http2Server;
  readonly #waiting: ((peer: Duplex) => void)[] = [];
  readonly #waitingStreams: ((peer: Duplex) => void)[] = [];
  /** The last one is for new streams. */
  readonly #sessions: ClientHttp2Session[] = [];
  #tunnels = 0;

  private constructor(tcp: Server, http2: Http2Server) {
    this.#tcp = tcp;
    this.#http2 = http2;
  }

  static async open(): Promise<Connections> {
    const tcp = createServer({ noDelay: true, allowHalfOpen: true }, (socket) => connections.#waiting.shift()!(socket));
    const http2 = createHttp2Server();
    http2.on("sessionError", () => undefined);
    http2.on("stream", (stream) => {
      stream.on("error", () => undefined);
      stream.respond({ ":status": 200 });
      connections.#waitingStreams.shift()!(stream);
    });
    const connections = new Connections(tcp, http2);
    for (const server of [tcp, connections.#http2]) {
      server.listen(0, "127.0.0.1");
      await once(server, "listening");
    }
    return connections;
  }

  /** The end for the code under attack, and the end of the peer. */
  async tcp(): Promise<[Socket, Duplex]> {
    const peer = new Promise<Duplex>((resolve) => this.#waiting.push(resolve));
    const socket = await connectTo((this.#tcp.address() as AddressInfo).port);
    return [socket, await peer];
  }

  async tunnel(): Promise<[Duplex, Duplex]> {
    // Node ends a session that saw a thousand resets or so, and with it whatever still uses it.
    if (this.#tunnels++ % 200 === 0) {
      const fresh = connectHttp2(`http://127.0.0.1:${(this.#http2.address() as AddressInfo).port}`);
      fresh.on("error", () => undefined);
      if (this.#sessions.push(fresh) > 2) this.#sessions.shift()!.destroy();
    }
    const peer = new Promise<Duplex>((resolve) => this.#waitingStreams.push(resolve));
    const stream = this.#sessions
      .at(-1)!
      .request({ ":method": "CONNECT", ":authority": "localhost:80" }, { endStream: false });
    stream.on("error", () => undefined);
    await once(stream, "response");
    return [stream, await peer];
  }

  close(): void {
    for (const session of this.#sessions) session.destroy();
    this.#tcp.close();
    this.#http2.close();
  }
}

let sources = 0;

/** A connection to a port of this host. Its ports are used up in a minute of fuzzing; so each connection comes from another address. */
export async function connectTo(port: number): Promise<Socket> {
  const socket = connect({ port, host: "127.0.0.1", localAddress: `127.0.0.${2 + (sources++ % 250)}` });
  await once(socket, "connect");
  return socket;
}

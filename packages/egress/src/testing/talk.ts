/** How a program in a guest talks: official clients over the guest's connections, and bytes written by hand. */
import { request as httpRequest, type IncomingHttpHeaders } from "node:http";
import { connect as http2Connect, type ClientHttp2Session } from "node:http2";
import type { Duplex } from "node:stream";
import type { Guest } from "./guest.ts";

export interface Reply {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly rawHeaders: readonly string[];
  readonly trailers: NodeJS.Dict<string>;
  readonly body: Buffer;
  readonly text: string;
}

export interface Ask {
  readonly method?: string;
  readonly path?: string;
  readonly headers?: Record<string, string | string[]>;
  readonly body?: string | Buffer | AsyncIterable<Buffer>;
}

/** One request over a connection that is already there. */
export function askOver(
  socket: Duplex,
  host: string,
  { method = "GET", path = "/", headers = {}, body }: Ask = {},
): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const outgoing = httpRequest({
      createConnection: () => socket,
      method,
      path,
      headers: { host, ...headers },
      setHost: false,
    });
    outgoing.once("error", reject);
    outgoing.once("response", (response) => {
      const chunks: Buffer[] = [];
      response.on("data", (chunk: Buffer) => chunks.push(chunk));
      response.once("error", reject);
      response.once("end", () => {
        const whole = Buffer.concat(chunks);
        resolve({
          status: response.statusCode!,
          headers: response.headers,
          rawHeaders: response.rawHeaders,
          trailers: response.trailers,
          body: whole,
          text: whole.toString(),
        });
      });
    });
    if (body === undefined || typeof body === "string" || Buffer.isBuffer(body)) outgoing.end(body);
    else
      void (async () => {
        for await (const chunk of body) outgoing.write(chunk);
        outgoing.end();
      })();
  });
}

/** One HTTPS request on a connection of its own. */
export async function ask(guest: Guest, host: string, request: Ask & { port?: number } = {}): Promise<Reply> {
  const port = request.port ?? 443;
  const socket = await guest.connectTls(`${host}:${port}`);
  try {
    return await askOver(socket, port === 443 ? host : `${host}:${port}`, request);
  } finally {
    socket.destroy();
  }
}

/** One plain HTTP request on a connection of its own. */
export async function askPlain(guest: Guest, host: string, request: Ask & { port?: number } = {}): Promise<Reply> {
  const port = request.port ?? 80;
  const socket = await guest.connect(`${host}:${port}`);
  try {
    return await askOver(socket, port === 80 ? host : `${host}:${port}`, request);
  } finally {
    socket.destroy();
  }
}

/** An HTTP/2 session with a host. */
export async function openHttp2(guest: Guest, host: string, port = 443): Promise<ClientHttp2Session> {
  const socket = await guest.connectTls(`${host}:${port}`, { ALPNProtocols: ["h2"] });
  const session = http2Connect(`https://${host}`, { createConnection: () => socket });
  session.on("error", () => {});
  return session;
}

/** Writes bytes as they are and gives back everything that comes until the connection ends, or for so many milliseconds. */
export function raw(socket: Duplex, bytes: string | Buffer, patience = 1500): Promise<string> {
  return new Promise((resolve) => {
    let text = "";
    const settle = (): void => {
      clearTimeout(timer);
      socket.destroy();
      resolve(text);
    };
    const timer = setTimeout(settle, patience);
    socket.on("data", (chunk: Buffer) => (text += chunk.toString("latin1")));
    socket.once("end", settle).once("close", settle).once("error", settle);
    socket.write(bytes);
  });
}

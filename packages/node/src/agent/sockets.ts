/** UNIX sockets inside the sandbox, and sockets on which the sandbox's programs reach the host's side. */
import { Duplex } from "node:stream";
import { type AgentListener, CaissonError, type agentContract, type ListenPlace } from "@caisson/protocol";
import type { Client } from "@connectrpc/connect";
import type { AgentConnection } from "./connection.ts";
import { readStream, writeStream } from "./streams.ts";

type SocketsClient = Client<typeof agentContract.Sockets>;

/** @throws ConnectError of the agent: nobody listens, or the user `app` may not */
export async function connectUnix(connection: AgentConnection, sockets: SocketsClient, path: string): Promise<Duplex> {
  return openSocket(connection, await sockets.connectUnix({ path }));
}

/** @throws ConnectError of the agent: the address is in use, or cannot be listened on */
export async function listen(
  connection: AgentConnection,
  sockets: SocketsClient,
  place: ListenPlace,
  signal: AbortSignal,
): Promise<AgentListener> {
  const request = "path" in place ? { path: place.path } : { host: place.host, port: place.port };
  const answers = sockets.listen(request, { signal })[Symbol.asyncIterator]();
  const first = await answers.next();
  if (first.done === true) throw new CaissonError("unavailable", "The sandbox does not listen.");
  const port = first.value.port;
  async function* accepted() {
    for (;;) {
      const { done, value } = await answers.next();
      if (done === true) return;
      const { connection: streams, peerHost, peerPort } = value;
      if (streams === undefined) continue;
      // The guest may be hostile, and these go to the client as they are.
      const peer = /^[0-9a-fA-F.:]{1,64}$/.test(peerHost) ? peerHost : "127.0.0.1";
      yield { peerHost: peer, peerPort: Math.min(peerPort, 65_535), socket: openSocket(connection, streams) };
    }
  }
  return { port: Math.min(port, 65_535), accepted: accepted() };
}

/** Not `Duplex.from`: once one direction has ended, that no longer destroys the other one. */
function openSocket(connection: AgentConnection, streams: { readonly to: bigint; readonly from: bigint }): Duplex {
  const readable = readStream(connection, streams.from);
  const writable = writeStream(connection, streams.to);
  const socket = new Duplex({
    read: () => readable.resume(),
    write: (chunk: Buffer, _encoding, done) => {
      if (writable.write(chunk)) done();
      else writable.once("drain", done);
    },
    final: (done) => writable.end(done),
    destroy: (error, done) => {
      readable.destroy();
      writable.destroy();
      done(error);
    },
  });
  readable.on("data", (chunk: Buffer) => {
    if (!socket.push(chunk)) readable.pause();
  });
  readable.once("end", () => socket.push(null));
  for (const half of [readable, writable]) half.on("error", (error) => socket.destroy(error));
  // Either side may end it at any moment; that must not end this process.
  socket.on("error", () => undefined);
  return socket;
}

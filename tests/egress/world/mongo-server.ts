/** As much of MongoDB's protocol, over TLS, as a driver needs to find a server and have a command answered. */
import { createServer } from "node:tls";
import type { AddressInfo } from "node:net";
import type { Identity } from "./authority.ts";

const int32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32LE(value);
  return bytes;
};

/** BSON of booleans and numbers. */
function bson(fields: Readonly<Record<string, boolean | number>>): Buffer {
  const elements = Object.entries(fields).map(([name, value]) =>
    Buffer.concat([
      Buffer.from([typeof value === "boolean" ? 8 : 16]),
      Buffer.from(`${name}\0`),
      typeof value === "boolean" ? Buffer.from([value ? 1 : 0]) : int32(value),
    ]),
  );
  const body = Buffer.concat([...elements, Buffer.from([0])]);
  return Buffer.concat([int32(body.length + 4), body]);
}

const greeting = bson({
  ok: 1,
  ismaster: true,
  isWritablePrimary: true,
  helloOk: true,
  minWireVersion: 0,
  maxWireVersion: 25,
  maxBsonObjectSize: 16_777_216,
  maxMessageSizeBytes: 48_000_000,
  maxWriteBatchSize: 100_000,
});
const opcodes = { reply: 1, query: 2004, message: 2013 } as const;

export interface MongoServer {
  readonly address: string;
  /** Names of the commands that came as messages, `hello` included. */
  readonly commands: readonly string[];
  close(): void;
}

export async function startMongoServer(identity: Identity): Promise<MongoServer> {
  const commands: string[] = [];
  /** @returns the reply to one whole request */
  function reply(request: Buffer): Buffer {
    const isQuery = request.readInt32LE(12) === opcodes.query;
    if (!isQuery) {
      // Flags, the kind of the section, the length of the document and the type of its first element come before the name of that.
      const name = 16 + 4 + 1 + 4 + 1;
      commands.push(request.toString("latin1", name, request.indexOf(0, name)));
    }
    // Flags, cursor, start and number of documents; or flags and the kind of the section.
    const head = isQuery ? Buffer.concat([int32(8), Buffer.alloc(8), int32(0), int32(1)]) : Buffer.alloc(5);
    const body = Buffer.concat([head, greeting]);
    const opcode = isQuery ? opcodes.reply : opcodes.message;
    return Buffer.concat([int32(16 + body.length), int32(1), request.subarray(4, 8), int32(opcode), body]);
  }
  const sockets = new Set<{ destroy(): void }>();
  const server = createServer(identity, (socket) => {
    sockets.add(socket.on("error", () => {}));
    let held = Buffer.alloc(0);
    socket.on("data", (chunk) => {
      held = Buffer.concat([held, chunk]);
      while (held.length >= 4 && held.length >= held.readInt32LE(0)) {
        const size = held.readInt32LE(0);
        socket.write(reply(held.subarray(0, size)));
        held = held.subarray(size);
      }
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    address: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    commands,
    close() {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}

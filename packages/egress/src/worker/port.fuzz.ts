/** What a guest may send on its egress port, from the first byte after the handshake. The session ends when the guest has left. */
import { createServer, type Socket } from "node:net";
import { join } from "node:path";
import { after, before } from "node:test";
import { asBytes, cut, fuzz, http2Beginning, http2Frames, mutatedBytes } from "@caisson/testing/fuzz";
import fc from "fast-check";
import { answerSync } from "../testing/guest.ts";
import { startInProcess, type InProcess } from "../testing/in-process.ts";
import { servePort } from "./port.ts";

let proxy: InProcess;
let path: string;
let onSocket: (socket: Socket) => void = (socket) => socket.destroy();
const server = createServer((socket) => {
  socket.on("error", () => {});
  onSocket(socket);
});
before(async () => {
  proxy = await startInProcess([]);
  path = join(proxy.directory, "egress.sock");
  await new Promise<void>((resolve) => server.listen(path, resolve));
});
after(async () => {
  server.close();
  await proxy.close();
});

const name = fc.constantFrom(
  ":method",
  ":authority",
  ":scheme",
  ":path",
  ":protocol",
  "caisson-address",
  "host",
  "te",
  "x",
  "X",
  "",
);
const value = fc.oneof(
  fc.constantFrom(
    "CONNECT",
    "GET",
    "granted.test:80",
    "granted.test:443",
    "refused.test:80",
    "granted.test",
    "granted.test:0",
    "[::1]:80",
    "127.0.0.1:80",
    "granted.test:80@other.test",
    "http",
    "/",
    "websocket",
    "198.18.0.1:80",
  ),
  fc.string({ maxLength: 12 }),
);
const connect: [string, string][] = [
  [":method", "CONNECT"],
  [":authority", "granted.test:80"],
];
const fields = fc
  .tuple(fc.constantFrom(connect, connect, []), fc.array(fc.tuple(name, value), { maxLength: 5 }))
  .map(([first, more]) => [...first, ...more]);
const body = fc.oneof(
  fc
    .constantFrom("GET / HTTP/1.1\r\nhost: granted.test\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "\x05\x01\x00")
    .map((text) => Buffer.from(text)),
  fc.uint8Array({ maxLength: 60 }).map((bytes) => Buffer.from(bytes)),
);

fuzz({
  name: "egress-port",
  directory: import.meta.dirname,
  codec: asBytes,
  input: (seeds) =>
    mutatedBytes(
      seeds,
      http2Frames(fields, body).map((frames) => Buffer.concat([http2Beginning, frames])),
    ),
  check: (bytes) =>
    new Promise((resolve) => {
      onSocket = (socket) =>
        void answerSync(socket).then(() => {
          socket.once("close", () => {
            void port.close().then(resolve);
          });
          socket.resume();
          for (const piece of cut(bytes, 3000, bytes.length)) socket.write(piece);
          socket.end();
        });
      const port = servePort(proxy.sandbox, path, { onTrouble: () => {}, onFlood: () => {} });
    }),
});

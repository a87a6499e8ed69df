/** Visitors by address: how many connections each may hold, and who they are behind a reverse proxy. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type IncomingMessage } from "node:http";
import { connect, type AddressInfo, type Socket } from "node:net";
import { test } from "node:test";
import { configSchema, type HttpGateway } from "@caisson/protocol";
import { until } from "@caisson/testing";
import { pino } from "pino";
import { createGateway } from "./index.ts";
import { listen } from "./testing/listen.ts";

async function withGateway(
  trustedProxies: readonly string[],
  use: (place: {
    readonly visit: (from: string, ...headers: string[]) => Socket;
    readonly seen: IncomingMessage[];
  }) => Promise<void>,
): Promise<void> {
  const seen: IncomingMessage[] = [];
  const program = createServer((request, response) => {
    seen.push(request);
    if (request.url === "/") response.end("ok");
  });
  program.listen(0, "127.0.0.1");
  await once(program, "listening");
  const inside = (program.address() as AddressInfo).port;
  const config = configSchema.parse({ gateway: { tls: false, connectionsPerAddress: 5 } }).gateway;
  const issue = () => Promise.reject(new Error("no TLS here"));
  const gateway: HttpGateway = createGateway({
    config,
    port: 0,
    trustedProxies,
    issue,
    log: pino({ level: "silent" }),
  });
  const { signal } = new AbortController();
  await listen(gateway, {
    find: async () => ({ workloadId: "s", ended: signal, connect: async () => connect(inside, "127.0.0.1") }),
  });
  const port = Number(gateway.addressOf("abc").split(":")[1]);
  try {
    await use({
      seen,
      visit(from, ...headers) {
        const socket = connect({ host: "127.0.0.1", port, localAddress: from });
        socket.on("error", () => undefined);
        const path = headers.includes("hold: 1") ? "/hold" : "/";
        socket.write([`GET ${path} HTTP/1.1`, "host: abc.localhost", ...headers, "", ""].join("\r\n"));
        return socket;
      },
    });
  } finally {
    await gateway.close();
    program.closeAllConnections();
    program.close();
  }
}

const answerOf = async (socket: Socket): Promise<string> => {
  let text = "";
  socket.on("data", (piece) => (text += String(piece)));
  await Promise.race([once(socket, "close"), once(socket, "data")]);
  socket.destroy();
  return text.split("\r\n")[0]!;
};

test("one address cannot hold all connections of the gateway", async () => {
  await withGateway([], async ({ visit }) => {
    const greedy = Array.from({ length: 50 }, () => visit("127.0.0.2", "hold: 1"));
    let closed = 0;
    for (const socket of greedy) socket.once("close", () => closed++);
    await until(5_000, "the limit", () => closed === 45 || undefined);
    assert.equal(await answerOf(visit("127.0.0.3")), "HTTP/1.1 200 OK");
    assert.equal(await answerOf(visit("127.0.0.2")), "");
    greedy.forEach((socket) => socket.destroy());
    await until(5_000, "a free place", async () => (await answerOf(visit("127.0.0.2"))) !== "" || undefined);
  });
});

test("behind a trusted proxy visitors count by X-Forwarded-For, and the program inside learns their address", async () => {
  await withGateway(["127.0.0.2"], async ({ visit, seen }) => {
    const from = (address: string) => `x-forwarded-for: 8.8.8.8, ${address}`;
    const greedy = Array.from({ length: 5 }, () => visit("127.0.0.2", from("192.0.2.1"), "hold: 1"));
    await until(5_000, "five requests", () => seen.length === 5 || undefined);
    assert.equal(await answerOf(visit("127.0.0.2", from("192.0.2.1"))), "HTTP/1.1 503 Service Unavailable");
    assert.equal(await answerOf(visit("127.0.0.2", from("192.0.2.2"))), "HTTP/1.1 200 OK");
    assert.equal(seen.at(-1)!.headers["x-forwarded-for"], "192.0.2.2");
    assert.equal(await answerOf(visit("127.0.0.3", from("192.0.2.3"))), "HTTP/1.1 200 OK");
    assert.equal(seen.at(-1)!.headers["x-forwarded-for"], "127.0.0.3");
    greedy.forEach((socket) => socket.destroy());
  });
});

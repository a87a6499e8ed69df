/** An upstream that answers and closes while an upload still goes on: its answer arrives although the write after it fails. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, createServer, type AddressInfo } from "node:net";
import { test, type TestContext } from "node:test";
import { Readable } from "node:stream";
import { setImmediate as turn } from "node:timers/promises";
import { connect as connectTls } from "node:tls";
import { startEarlyUpstream, type EarlyUpstream } from "../testing/early-upstream.ts";
import { upstreamAuthority } from "../testing/harness.ts";
import { relay } from "../tunnel/relay.ts";
import { callHttp1 } from "./http1.ts";
import { Http1Clients } from "./http1-clients.ts";

const host = "early.test";
const answer = "HTTP/1.1 413 Content Too Large\r\nContent-Length: 9\r\nConnection: close\r\n\r\ntoo large";

async function start(context: TestContext, secure: boolean, said: string): Promise<EarlyUpstream> {
  const upstream = await startEarlyUpstream(said, secure ? await upstreamAuthority.issue([host]) : undefined);
  context.after(() => upstream.close());
  return upstream;
}

/** @returns status and body, or the message of the failure */
async function upload(upstream: EarlyUpstream, secure: boolean): Promise<string> {
  const { port } = upstream;
  const clients = new Http1Clients(secure ? "https" : "http", {
    patience: 60_000,
    connect: async () => {
      const socket = secure
        ? connectTls({ host: "127.0.0.1", port, servername: host, ca: upstreamAuthority.certificatePem })
        : connect(port, "127.0.0.1");
      await once(socket, secure ? "secureConnect" : "connect");
      return socket;
    },
  });
  async function* body(): AsyncGenerator<Buffer> {
    yield Buffer.alloc(256 * 1024);
    await turn();
    await turn();
    upstream.answerAndClose();
    for (let piece = 0; piece < 4; piece++) yield Buffer.alloc(16_384);
  }
  const found = await new Promise<string>((resolve) => {
    let text = "";
    callHttp1(
      clients,
      { method: "PUT", target: "/", authority: host, headers: [], body: Readable.from(body(), { objectMode: false }) },
      {
        head: (status) => void (text = `${status} `),
        data: (chunk) => void (text += chunk.toString()),
        end: () => resolve(text),
        fail: (error) => resolve(`${text}${error.message}`),
      },
    );
  });
  clients.destroy();
  return found;
}

for (const [what, secure] of [
  ["plain", false],
  ["TLS", true],
] as const) {
  test(`the answer before a reset arrives, ${what}`, async (context) => {
    assert.equal(await upload(await start(context, secure, answer), secure), "413 too large");
  });

  test(`without an answer the upload fails, ${what}`, async (context) => {
    assert.match(await upload(await start(context, secure, ""), secure), /^\D+$/);
  });
}

/** Uploads through a tunnel. @returns what the program got before its connection ended */
async function uploadUnread(upstream: EarlyUpstream): Promise<string> {
  const listening = createServer({ allowHalfOpen: true }).listen(0, "127.0.0.1");
  await once(listening, "listening");
  const accepted = once(listening, "connection");
  const program = connect((listening.address() as AddressInfo).port, "127.0.0.1").on("error", () => {});
  let got = "";
  program.on("data", (chunk: Buffer) => void (got += chunk.toString()));
  const [guest] = (await accepted) as [ReturnType<typeof connect>];
  const outgoing = connect({ port: upstream.port, host: "127.0.0.1", allowHalfOpen: true });
  await once(outgoing, "connect");
  let pieces = 0;
  const over = new Promise((resolve) =>
    relay({
      guest,
      upstream: outgoing,
      onEnd: resolve,
      judge: () => {
        if (++pieces === 2) upstream.answerAndClose();
        return undefined;
      },
    }),
  );
  const ended = once(program, "close");
  for (let piece = 0; piece < 4; piece++) {
    program.write(Buffer.alloc(64 * 1024));
    await turn();
  }
  await Promise.all([over, ended]);
  listening.close();
  return got;
}

test("the answer before a reset arrives, through a tunnel", async (context) => {
  assert.equal(await uploadUnread(await start(context, false, answer)), answer);
});

test("without an answer the tunnel ends", async (context) => {
  assert.equal(await uploadUnread(await start(context, false, "")), "");
});

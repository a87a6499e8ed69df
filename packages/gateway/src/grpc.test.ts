/** gRPC's own library on both sides of the gateway: all four kinds of calls, errors, metadata, deadlines and cancels. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { after, before, test } from "node:test";
import { promisify } from "node:util";
import {
  Client,
  credentials,
  Metadata,
  Server,
  ServerCredentials,
  status,
  type ClientDuplexStream,
  type handleBidiStreamingCall,
  type handleUnaryCall,
  type MethodDefinition,
  type ServiceError,
} from "@grpc/grpc-js";
import { until } from "@caisson/testing";
import { openPlace, type Place } from "./testing/programs.ts";

const host = "rpc.localhost";
const bytes = { serialize: (value: Buffer) => value, deserialize: (value: Buffer) => value };
const define = (name: string, streams: boolean): MethodDefinition<Buffer, Buffer> => ({
  path: `/test.Echo/${name}`,
  requestStream: streams,
  responseStream: streams,
  requestSerialize: bytes.serialize,
  requestDeserialize: bytes.deserialize,
  responseSerialize: bytes.serialize,
  responseDeserialize: bytes.deserialize,
});
const echo = define("Echo", false);
const chat = define("Chat", true);

let server: Server;
let place: Place;
let client: Client;
let cancelled = 0;

before(async () => {
  server = new Server();
  const unary: handleUnaryCall<Buffer, Buffer> = (call, done) => {
    if (String(call.request) === "fail")
      return done({ code: status.FAILED_PRECONDITION, details: "because \u00e9", metadata: call.metadata });
    if (String(call.request) === "wait") return void call.once("cancelled", () => cancelled++);
    const trailers = new Metadata();
    trailers.set("seen", String(call.metadata.get("mine")[0] ?? "nothing"));
    done(null, call.request, trailers);
  };
  const bidi: handleBidiStreamingCall<Buffer, Buffer> = (call) => {
    call.on("data", (message: Buffer) => call.write(Buffer.from(String(message).toUpperCase())));
    call.on("end", () => call.end());
    call.once("cancelled", () => cancelled++);
  };
  server.addService({ Echo: echo, Chat: chat }, { Echo: unary, Chat: bidi });
  const port = await promisify(server.bindAsync.bind(server))("127.0.0.1:0", ServerCredentials.createInsecure());
  place = await openPlace({ programs: { rpc: port } });
  client = new Client(`127.0.0.1:${place.port}`, credentials.createSsl(Buffer.from(place.ca)), {
    "grpc.ssl_target_name_override": host,
    "grpc.default_authority": host,
  });
});
after(async () => {
  client.close();
  server.forceShutdown();
  await place.close();
});

const call = (text: string | Buffer, options: { deadline?: number } = {}, metadata = new Metadata()) =>
  new Promise<{ answer: Buffer; trailers: Metadata }>((resolve, reject) => {
    let trailers = new Metadata();
    const started = client.makeUnaryRequest(
      echo.path,
      bytes.serialize,
      bytes.deserialize,
      Buffer.from(text),
      metadata,
      options,
      (error, answer) => {
        if (error === null) setImmediate(() => resolve({ answer: answer!, trailers }));
        else reject(error);
      },
    );
    started.once("status", (end) => (trailers = end.metadata));
  });

test("a call with metadata, and a large one", { timeout: 30_000 }, async () => {
  const metadata = new Metadata();
  metadata.set("mine", "word");
  const { answer, trailers } = await call("hello", {}, metadata);
  assert.deepEqual([String(answer), trailers.get("seen")], ["hello", ["word"]]);
  assert.equal((await call(Buffer.alloc(2_000_000, "x"))).answer.length, 2_000_000);
});

test("errors, deadlines and cancels arrive", { timeout: 30_000 }, async () => {
  await assert.rejects(
    call("fail"),
    (error: ServiceError) => error.code === status.FAILED_PRECONDITION && error.details === "because \u00e9",
  );
  await assert.rejects(call("wait", { deadline: Date.now() + 300 }), { code: status.DEADLINE_EXCEEDED });
  await until(5_000, "the cancel at the server", () => cancelled === 1 || undefined);
});

test("a hundred messages in both directions in turn, on twenty streams at once", { timeout: 60_000 }, async () => {
  const one = async (): Promise<void> => {
    const stream: ClientDuplexStream<Buffer, Buffer> = client.makeBidiStreamRequest(
      chat.path,
      bytes.serialize,
      bytes.deserialize,
    );
    for (let index = 0; index < 100; index++) {
      stream.write(Buffer.from(`m${index}`));
      assert.equal(String((await once(stream, "data"))[0]), `M${index}`);
    }
    stream.end();
    stream.resume();
    const [end] = (await once(stream, "status")) as [{ code: number }];
    assert.equal(end.code, status.OK);
  };
  await Promise.all(Array.from({ length: 20 }, one));
  const stream = client.makeBidiStreamRequest(chat.path, bytes.serialize, bytes.deserialize);
  stream.on("error", () => undefined);
  stream.write(Buffer.from("x"));
  await once(stream, "data");
  const before = cancelled;
  stream.cancel();
  await until(5_000, "the cancel at the server", () => cancelled > before || undefined);
});

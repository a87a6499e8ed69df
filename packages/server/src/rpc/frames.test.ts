import assert from "node:assert/strict";
import { messageSchema } from "@caisson/api";
import { test } from "node:test";
import { z } from "zod";
import { BytesJson, enqueueFrame, invalidParams, notificationFrame, okFrame } from "./frames.ts";

test("a result that is undefined is sent as null", () => {
  assert.equal(okFrame(0, undefined), '{"jsonrpc":"2.0","id":0,"result":{"ok":null}}');
  assert.equal(okFrame("a", false), '{"jsonrpc":"2.0","id":"a","result":{"ok":false}}');
});

test("bytes in a result are framed as any other value", () => {
  const all = Uint8Array.from({ length: 256 }, (_, byte) => byte);
  for (const data of [all, all.subarray(3, 8), new Uint8Array()]) {
    const base64 = Buffer.from(data).toString("base64");
    assert.equal(okFrame('"', BytesJson.base64(data)), okFrame('"', base64));
    assert.equal(okFrame(7, BytesJson.data(data)), okFrame(7, { data: base64 }));
  }
});

test("bytes in pieces make the same reply as in one piece", () => {
  const all = Buffer.from(Array.from({ length: 1_000_000 }, (_, at) => (at * 7) % 251));
  const text = Buffer.from('aä€😀"\\\n'.repeat(70_000));
  for (const size of [1, 2, 3, 1000, 65_537, 400_001]) {
    const cut = (data: Buffer) => {
      const chunks: Buffer[] = [];
      const step = size < 10 ? 100_000 : size;
      for (let from = 0; from < data.length; from += step) chunks.push(data.subarray(from, from + step));
      return size < 10 ? [data.subarray(0, size), data.subarray(size)] : chunks;
    };
    assert.equal(okFrame(1, BytesJson.base64(...cut(all))), okFrame(1, all.toString("base64")));
    assert.equal(okFrame(1, BytesJson.text(...cut(text))), okFrame(1, text.toString()));
  }
  assert.equal(okFrame(1, BytesJson.text(Buffer.from([0xff, 0x41, 0xe2]))), okFrame(1, "\ufffdA\ufffd"));
});

test("data of a stream is framed as any other notification", () => {
  for (const data of [Buffer.from([0]), Buffer.from(Array.from({ length: 256 }, (_, byte) => byte))]) {
    const params = { streamId: 2 ** 53 - 1, data: data.toString("base64") };
    assert.equal(enqueueFrame(params.streamId, data), notificationFrame("$sandbox.stream.enqueue", params));
  }
});

test("every item of a validation failure has what the Python client reads", () => {
  const schema = z.object({
    path: z.string(),
    list: z.array(z.object({ n: z.int() })),
    choice: z.union([z.string(), z.number()]),
    one: z.enum(["a"]),
  });
  const { error } = schema.safeParse({ list: [{ n: "x" }], choice: {}, one: "b" });
  const fault = invalidParams(error!.issues);
  const { constructorName, message } = fault.data as { constructorName: string; message: string };
  assert.deepEqual([fault.code, constructorName], [-32602, "ZodError"]);
  const items = JSON.parse(message) as Record<string, unknown>[];
  assert.equal(items.length, 4);
  for (const item of items) {
    assert.ok(
      typeof item["expected"] === "string" && typeof item["code"] === "string" && typeof item["message"] === "string",
    );
    assert.ok((item["path"] as unknown[]).every((part) => typeof part === "string"));
  }
});

test("requests, notifications, and what is neither", () => {
  for (const good of [
    { jsonrpc: "2.0", id: 0, method: "m", params: {} },
    { jsonrpc: "2.0", id: "x", method: "m" },
    { jsonrpc: "2.0", method: "m", params: null },
  ]) {
    assert.ok(messageSchema.safeParse(good).success);
  }
  for (const bad of [
    null,
    1,
    [],
    {},
    { jsonrpc: "1.0", id: 0, method: "m" },
    { jsonrpc: "2.0", id: null, method: "m" },
    { jsonrpc: "2.0", id: 0 },
    { jsonrpc: "2.0", id: 0, method: "m", params: [1] },
  ]) {
    assert.ok(!messageSchema.safeParse(bad).success, JSON.stringify(bad));
  }
});

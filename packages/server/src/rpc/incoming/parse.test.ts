import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { LongText } from "./long-text.ts";
import { FrameTooLarge, isLongText, parseFrame } from "./parse.ts";

const frameOf = (params: unknown, method = "writeTextFile") =>
  Buffer.from(JSON.stringify({ jsonrpc: "2.0", id: 7, method, params }));
const paramsOf = (value: unknown) => (value as { params: Record<string, unknown> }).params;
const large = 300 * 1024;

test("a long content is cut out, and is the same text", () => {
  for (const piece of ["a", '"', "\\", "\n", "ü", "😀", '\\"', "\u0001", "\\u", "x\\\\"]) {
    const content = `${piece.repeat(Math.ceil(large / piece.length))}end`;
    const { value, long } = parseFrame(frameOf({ path: "/x", content, mode: 420 }));
    assert.ok(isLongText(paramsOf(value)["content"]));
    assert.equal(paramsOf(value)["mode"], 420);
    assert.equal([...long!.texts()].join(""), content, JSON.stringify(piece));
    assert.deepEqual(Buffer.concat([...long!.utf8()]), Buffer.from(content));
  }
});

test("any text comes out of its pieces as it was", () => {
  const units = fc.constantFrom("a", "\\", '"', "ß", "😀", "\u0007", "\ud83d", "\u2028");
  fc.assert(
    fc.property(fc.array(units, { minLength: 1, maxLength: 40 }), fc.nat(20), (pattern, shift) => {
      const content = "-".repeat(shift) + pattern.join("").repeat(Math.ceil(70_000 / pattern.join("").length));
      const json = JSON.stringify(content);
      const long = new LongText(Buffer.from(json).subarray(1, -1));
      assert.equal([...long.texts()].join(""), content);
    }),
    { numRuns: 60 },
  );
});

test("base64 comes out as its bytes, and nothing else is taken for base64", () => {
  const data = Buffer.alloc(large, "caisson");
  const { long } = parseFrame(frameOf({ path: "/x", content: data.toString("base64") }, "writeFile"));
  assert.deepEqual(Buffer.concat([...long!.base64()]), data);
  for (const bad of ["!", "====a", "\\u0041"]) {
    const text = new LongText(Buffer.from("A".repeat(100_000) + bad));
    assert.throws(() => [...text.base64()], /base64/);
  }
});

test("of several texts the longest is cut, and only under the names of contents", () => {
  const [one, two] = ["1".repeat(100_000), "2".repeat(200_000)];
  const { value, long } = parseFrame(frameOf({ data: one, content: two }));
  assert.equal([...long!.texts()].join(""), two);
  assert.equal(paramsOf(value)["data"], one);
  const path = "p".repeat(large);
  assert.deepEqual(parseFrame(frameOf({ path })), { value: JSON.parse(String(frameOf({ path }))), long: undefined });
});

test("what is too large without its content is refused before it is parsed, with its id", () => {
  const elements = Array.from({ length: 2_000_000 }, () => 1);
  const started = performance.now();
  for (const frame of [
    frameOf({ command: "x", args: elements }, "spawn"),
    frameOf({ path: "x", more: [elements] }, "stat"),
    frameOf({ path: "p".repeat(3_000_000) }, "stat"),
    frameOf({ content: "c".repeat(100_000), more: elements }),
    Buffer.from(`{"params":{"a":[${"{},".repeat(1_000_000)}1]},"id":7}`),
  ]) {
    assert.throws(
      () => parseFrame(frame),
      (error) => error instanceof FrameTooLarge && error.id === 7,
    );
  }
  assert.ok(performance.now() - started < 1000);
  assert.equal(
    (
      paramsOf(parseFrame(frameOf({ pid: 1, fn: "f", args: elements.slice(0, 1_000_000) }, "denoReplCall")).value)[
        "args"
      ] as []
    ).length,
    1_000_000,
  );
});

test("many small values are refused before they are parsed, and as many as anybody needs are not", () => {
  const keys = (count: number) => Object.fromEntries(Array.from({ length: count }, (_, index) => [`k${index}`, 1]));
  const objects = (count: number) => Array.from({ length: count }, () => ({}));
  const texts = (count: number) => Array.from({ length: count }, () => "");
  for (const [method, more] of [
    ["stat", { x: objects(60_000) }],
    ["spawn", { args: texts(100_000) }],
    ["spawn", { env: keys(20_000) }],
    ["denoReplCall", { args: objects(900_000) }],
    ["denoReplCall", { args: [keys(260_000)] }],
  ] as const) {
    const refused = (error: unknown) => error instanceof FrameTooLarge && /too many values/.test(error.message);
    assert.throws(() => parseFrame(frameOf(more, method)), refused, method);
    assert.throws(() => parseFrame(Buffer.from("[".repeat(1_000_000))), refused);
  }
  const records = Array.from({ length: 30_000 }, (_, id) => ({ id, name: `number ${id}, with a name of some length` }));
  for (const [method, params] of [
    ["spawn", { args: texts(80_000) }],
    ["spawn", { env: keys(10_000) }],
    ["denoReplCall", { args: [records] }],
    // Signs in a text are no values.
    ["spawn", { args: ['[{,":'.repeat(40_000)] }],
  ] as const)
    assert.deepEqual(paramsOf(parseFrame(frameOf(params, method)).value), params);
});

test("what is not JSON is a SyntaxError, also around a long text", () => {
  const good = String(frameOf({ content: "c".repeat(large) }));
  for (const bad of [
    good.slice(0, -1),
    `${good}}`,
    good.slice(0, 200_000),
    `${"{".repeat(9)}${" ".repeat(large)}`,
    `${'"'.repeat(9)}${" ".repeat(large)}`,
  ])
    assert.throws(() => parseFrame(Buffer.from(bad)), SyntaxError);
});

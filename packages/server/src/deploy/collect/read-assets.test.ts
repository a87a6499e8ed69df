import assert from "node:assert/strict";
import { test } from "node:test";
import type { Asset } from "@caisson/api";
import { longestAsset, readAssets } from "./read-assets.ts";

async function* pieces(text: string, size: number): AsyncGenerator<Buffer> {
  const bytes = Buffer.from(text);
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

async function read(text: string, { size = 1000, maxBytes = 1e9 } = {}) {
  const assets: Record<string, Asset> = {};
  const rest = await readAssets(pieces(text, size), {
    maxBytes,
    store: async (path, asset) => void (assets[path] = asset),
  });
  return { assets, rest };
}

const body = {
  assets: {
    "main.ts": { kind: "file", encoding: "utf-8", content: 'Deno.serve(() => new Response("ä \\" {}"))' },
    "a/b.bin": { encoding: "base64", content: "AAE=" },
    link: { kind: "symlink", target: "main.ts" },
  },
  config: { runtime: { type: "dynamic", entrypoint: "main.ts" } },
  labels: { a: "b" },
  env_vars: [{ key: "A", value: "1" }],
  production: false,
  unknown: [1, 2, { deep: {} }],
};

test("assets are stored one by one, in any order of the body and however it arrives", async () => {
  const { assets, ...rest } = body;
  for (const size of [1, 2, 7, 100_000])
    for (const text of [JSON.stringify(body), JSON.stringify({ ...rest, assets }, null, 2)]) {
      const found = await read(text, { size });
      assert.deepEqual(Object.keys(found.assets), ["main.ts", "a/b.bin", "link"]);
      assert.equal((found.assets["main.ts"] as { content: string }).content, assets["main.ts"].content);
      assert.deepEqual(found.assets["link"], assets.link);
      assert.deepEqual(found.rest, rest);
    }
});

test("bad bodies are refused", async () => {
  const bad = ["", "[", "{}}", '{"assets": {"a": 1}}', '{"assets": {"a": {}}}', '{"assets": {"a": {"content": "', "no"];
  for (const text of [...bad, "[".repeat(1e6), `{"a":${"[".repeat(50)}}`, `{"a":[${"0,".repeat(2e5)}0]}`, "{} x"])
    await assert.rejects(read(text), { code: "invalid_argument" }, text.slice(0, 40));
  await assert.rejects(read(JSON.stringify(body), { maxBytes: 100 }), { code: "too_large" });
  await assert.rejects(read(`{"assets": {"a": {"content": "${"x".repeat(longestAsset)}"}}}`, { size: 1e6 }), {
    code: "too_large",
  });
});

test("escapes at every place where a piece can end", async () => {
  const content = 'a\\"\\\\"\n\u2028 \\';
  const text = JSON.stringify({ assets: { [content]: { content } } });
  for (let size = 1; size < 40; size++)
    assert.deepEqual((await read(text, { size })).assets[content], { kind: "file", encoding: "utf-8", content });
});

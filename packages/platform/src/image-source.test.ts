import assert from "node:assert/strict";
import { access } from "node:fs/promises";
import { test } from "node:test";
import { pino } from "pino";
import { imageSource } from "./image-source.ts";

const source = (vscode: "prepared" | "off") =>
  imageSource({ config: { vscode }, signal: new AbortController().signal, log: pino({ level: "silent" }) });

test("no editor where the operator wants none", async () => {
  await assert.rejects(source("off")("vscode"), { code: "unsupported" });
});

test("`prepared` never builds: the image is there, or the error says how to make it", async () => {
  const found = await source("prepared")("vscode").catch((error: unknown) => error);
  if (typeof found === "string") await access(found);
  else assert.match(String(found), /npm run vscode/);
});

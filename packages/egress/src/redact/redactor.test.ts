/** Every spelling that common software makes of a value is turned back. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { createRedactor } from "./redactor.ts";

const values = ["sk-live-Ab3+x/9=Zq_7", "p@ss \"w&rd'<1>\\ é€ %41", "hunter2hunter2", "abcde"];
const placeholder = "caisson-secret-0011223344556677";
const percentAll = (text: string): string =>
  Array.from(Buffer.from(text), (byte) => `%${byte.toString(16).padStart(2, "0")}`).join("");
const unicodeAll = (text: string): string =>
  Array.from({ length: text.length }, (_, index) => `\\u${text.charCodeAt(index).toString(16).padStart(4, "0")}`).join(
    "",
  );

const spellings: Record<string, (value: string) => string> = {
  plain: (value) => value,
  "Base64 of user and value": (value) => Buffer.from(`user:${value}`).toString("base64"),
  "Base64 with one byte before": (value) => Buffer.from(`x${value}`).toString("base64"),
  "Base64 with two bytes before": (value) => Buffer.from(`xy${value}`).toString("base64"),
  "Base64 with bytes around": (value) => Buffer.from(`abc${value}defg`).toString("base64"),
  "URL-safe Base64": (value) => Buffer.from(`ü?>${value}`).toString("base64url"),
  "percent-encoded": encodeURIComponent,
  "percent-encoded, lower case": (value) => encodeURIComponent(value).replace(/%../g, (match) => match.toLowerCase()),
  "every byte percent-encoded": percentAll,
  "every byte percent-encoded, upper case": (value) => percentAll(value).toUpperCase().replaceAll("%", "%"),
  "form-encoded": (value) => new URLSearchParams({ v: value }).toString(),
  "percent-encoded twice": (value) => encodeURIComponent(encodeURIComponent(value)),
  JSON: (value) => JSON.stringify({ v: value }),
  "JSON with escaped slashes": (value) => JSON.stringify(value).replaceAll("/", "\\/"),
  "JSON in ASCII": (value) =>
    JSON.stringify(value).replace(
      /[\u0080-\uffff]/g,
      (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`,
    ),
  "JSON, every character escaped": (value) => `"${unicodeAll(value)}"`,
  "JSON inside JSON": (value) => JSON.stringify(JSON.stringify({ v: value })),
  hex: (value) => Buffer.from(value).toString("hex"),
  "hex, upper case": (value) => Buffer.from(value).toString("hex").toUpperCase(),
  HTML: (value) =>
    value
      .replaceAll("&", "&amp;")
      .replaceAll("<", "&lt;")
      .replaceAll(">", "&gt;")
      .replaceAll('"', "&quot;")
      .replaceAll("'", "&#39;"),
};

for (const [name, spell] of Object.entries(spellings)) {
  test(`a value is found as ${name}`, () => {
    for (const value of values) {
      const redactor = createRedactor([{ value, placeholder }]);
      const sent = `before ${spell(value)} after`;
      const got = redactor.bytes(Buffer.from(sent)).toString();
      assert.notEqual(got, sent, value);
      assert.ok(!decodings(got).some((text) => text.includes(value)), `${value}: ${got}`);
      assert.ok(got.startsWith("before ") && got.endsWith(" after"), got);
    }
  });
}

/** What a thief would try. */
function decodings(text: string): string[] {
  const word = text.split(" ")[1] ?? "";
  const attempts = [
    () => text,
    () => Buffer.from(word, "base64").toString(),
    () => Buffer.from(word, "hex").toString(),
    () => decodeURIComponent(text),
    () => decodeURIComponent(decodeURIComponent(text)),
    () => String(JSON.parse(word)),
  ];
  return attempts.flatMap((attempt) => {
    try {
      return [attempt()];
    } catch {
      return [];
    }
  });
}

test("Basic credentials come back with the placeholder readable inside", () => {
  for (const user of ["u", "us", "use", "user"]) {
    const redactor = createRedactor([{ value: values[0]!, placeholder }]);
    const got = redactor.text(`Basic ${Buffer.from(`${user}:${values[0]}`).toString("base64")}`);
    const decoded = Buffer.from(got.slice(6), "base64").toString("latin1");
    assert.ok(decoded.startsWith(`${user}:`) && decoded.includes(placeholder), decoded);
  }
});

test("two secrets, one inside the other, are both turned back", () => {
  const redactor = createRedactor([
    { value: "inner-secret", placeholder: "PLACEHOLDER-A" },
    { value: "outer-inner-secret-outer", placeholder: "PLACEHOLDER-B" },
  ]);
  assert.equal(
    redactor.text("inner-secret outer-inner-secret-outer outer-inner-secret"),
    "PLACEHOLDER-A PLACEHOLDER-B outer-PLACEHOLDER-A",
  );
});

test("lengths are kept where the format counts bytes", () => {
  const redactor = createRedactor([
    { value: "0123456789", placeholder: "caisson-secret-long" },
    { value: "x".repeat(40), placeholder: "short-placeholder" },
  ]);
  const rewriter = redactor.stream({ keepLength: true });
  const sent = Buffer.from(`0123456789 ${"x".repeat(40)}`);
  const got = Buffer.concat([...rewriter.push(sent), ...rewriter.end()]);
  assert.equal(got.length, sent.length);
  assert.equal(got.toString(), `caisson-se short-placeholder${"*".repeat(23)}`);
});

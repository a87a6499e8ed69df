/** Every spelling that common software makes of a value is turned back. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { inspect } from "node:util";
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

/** Holds every sign of ASCII that some library writes in another way. */
const odd = "k~*!'()/+=&\"<>@ é`$,;:?#[]^|{}\\";
/** What libraries made of it. */
const made: Record<string, string> = {
  "Python, quote": "k~%2A%21%27%28%29/%2B%3D%26%22%3C%3E%40%20%C3%A9%60%24%2C%3B%3A%3F%23%5B%5D%5E%7C%7B%7D%5C",
  "Python, quote_plus": "k~%2A%21%27%28%29%2F%2B%3D%26%22%3C%3E%40+%C3%A9%60%24%2C%3B%3A%3F%23%5B%5D%5E%7C%7B%7D%5C",
  "Python, html.escape": "k~*!&#x27;()/+=&amp;&quot;&lt;&gt;@ é`$,;:?#[]^|{}\\",
  "Python, json.dumps": "k~*!'()/+=&\\\"<>@ \\u00e9`$,;:?#[]^|{}\\\\",
  "Go, QueryEscape": "k~%2A%21%27%28%29%2F%2B%3D%26%22%3C%3E%40+%C3%A9%60%24%2C%3B%3A%3F%23%5B%5D%5E%7C%7B%7D%5C",
  "Go, PathEscape": "k~%2A%21%27%28%29%2F+=&%22%3C%3E@%20%C3%A9%60$%2C%3B:%3F%23%5B%5D%5E%7C%7B%7D%5C",
  "Go, EscapedPath": "k~%2A%21%27%28%29/+=&%22%3C%3E@%20%C3%A9%60$,;:%3F%23%5B%5D%5E%7C%7B%7D%5C",
  "Go, EscapeString": "k~*!&#39;()/+=&amp;&#34;&lt;&gt;@ é`$,;:?#[]^|{}\\",
  "Go, template": "k~*!&#39;()/&#43;=&amp;&#34;&lt;&gt;@ é`$,;:?#[]^|{}\\",
  "Go, json.Marshal": "k~*!'()/+=\\u0026\\\"\\u003c\\u003e@ é`$,;:?#[]^|{}\\\\",
  "Go, %+q": "k~*!'()/+=&\\\"<>@ \\u00e9`$,;:?#[]^|{}\\\\",
  URLSearchParams: new URLSearchParams({ v: odd }).toString().slice(2),
  encodeURI: encodeURI(odd),
  "path of a URL": Object.assign(new URL("https://a.test"), { pathname: odd.slice(0, -1) }).pathname.slice(1),
  "query of a URL": Object.assign(new URL("https://a.test"), { search: odd }).search.slice(1),
  "fragment of a URL": Object.assign(new URL("https://a.test"), { hash: odd }).hash.slice(1),
  "password in a URL": Object.assign(new URL("https://a.test"), { username: "u", password: odd }).password,
  "util.inspect": inspect(odd).slice(1, -1),
  "System.Text.Json": "k~*!\\u0027()/\\u002B=\\u0026\\u0022\\u003C\\u003E@ \\u00E9\\u0060$,;:?#[]^|{}\\\\",
  Gson: 'k~*!\\u0027()/+\\u003d\\u0026\\"\\u003c\\u003e@ é`$,;:?#[]^|{}\\\\',
  "PHP, json_encode": "k~*!'()\\/+=&\\\"<>@ \\u00e9`$,;:?#[]^|{}\\\\",
  "PHP, htmlspecialchars": "k~*!&#039;()/+=&amp;&quot;&lt;&gt;@ é`$,;:?#[]^|{}\\",
  Handlebars: "k~*!&#x27;()/+&#x3D;&amp;&quot;&lt;&gt;@ é&#x60;$,;:?#[]^|{}\\",
  "UTF-16": Buffer.from(odd, "utf16le").toString("latin1"),
};

for (const [name, spelling] of Object.entries(made)) {
  test(`a value is found as made by ${name}`, () => {
    const value = name === "path of a URL" ? odd.slice(0, -1) : odd;
    const redactor = createRedactor([{ value, placeholder }]);
    const encoding = name === "UTF-16" ? "latin1" : "utf8";
    const got = redactor.bytes(Buffer.from(`<<${spelling}>>`, encoding)).toString(encoding);
    assert.match(got.replaceAll("\0", ""), /^<<caisson(-|%2D|%2d|\\u002d)secret.*>>$/i);
  });
}

test("Base64 is found in the dress that JSON and URLs give it", () => {
  const value = "?>~?>~?>~ÿÿÿ>>>???";
  const dresses: ((sign: string) => string)[] = [
    (sign) => sign.replace("/", "\\/"),
    encodeURIComponent,
    (sign) => encodeURIComponent(sign).toLowerCase(),
  ];
  for (const before of ["", "u", "us"])
    for (const dress of dresses) {
      const sent = Buffer.from(before + value)
        .toString("base64")
        .replace(/[/+]/g, dress);
      assert.match(sent, /\\\/|%2/);
      assert.notEqual(createRedactor([{ value, placeholder }]).text(sent), sent, sent);
    }
});

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
  const rewriter = redactor.stream("unknown");
  const sent = Buffer.from(`0123456789 ${"x".repeat(40)}`);
  const got = Buffer.concat([...rewriter.push(sent), ...rewriter.end()]);
  assert.equal(got.length, sent.length);
  assert.equal(got.toString(), `caisson-se short-placeholder${"*".repeat(23)}`);
});

/**
 * What a host answers, with secrets in any spelling, any content coding and any cut: the guest never gets a secret, and what has none
 * comes out as it was. The first byte of an input says which codings and values, the rest is the body.
 */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { brotliCompressSync, constants, deflateSync, gzipSync, zstdCompressSync } from "node:zlib";
import { asBytes, cut, fuzz, mutatedBytes } from "@caisson/testing/fuzz";
import { formsOf } from "@caisson/policy";
import fc from "fast-check";
import { createRedactor } from "../../redact/redactor.ts";
import type { UpstreamCall } from "../../upstream/request.ts";
import { ResponseRelay } from "./response-relay.ts";

const values = ["sk-live-Ab3+x/9=Zq_7", "p@ss \"w&rd'<1>\\ é€ %41", "aaaaaaab"];
const placeholder = "caisson-secret-0011223344556677";
const redactor = createRedactor(values.map((value, index) => ({ value, placeholder: `${placeholder}-${index}` })));
/** The spellings that redaction promises to know; what it must find is asked of a plain search. */
const needles = values.flatMap((value) => formsOf(value).map((form) => form.bytes));

const codings: readonly (readonly [string, (data: Buffer) => Buffer])[] = [
  ["", (data) => data],
  ["gzip", gzipSync],
  ["deflate", deflateSync],
  ["br", (data) => brotliCompressSync(data, { params: { [constants.BROTLI_PARAM_QUALITY]: 2 } })],
  ["zstd", zstdCompressSync],
  ["gzip, br", (data) => brotliCompressSync(gzipSync(data), { params: { [constants.BROTLI_PARAM_QUALITY]: 2 } })],
];

interface Outcome {
  readonly body: Buffer;
  readonly headers: string;
  readonly failed: boolean;
}

/** @param known whether the length is announced */
function relay(pieces: readonly Buffer[], coding: string, known: boolean): Promise<Outcome> {
  return new Promise((resolve) => {
    const body: Buffer[] = [];
    let headers = "";
    const finish = (failed: boolean) => resolve({ body: Buffer.concat(body), headers, failed });
    const response = new ResponseRelay(
      "GET",
      redactor,
      {
        started: false,
        head: (_status, list) => (headers = JSON.stringify(list)),
        write: (chunk) => body.push(Buffer.from(chunk)) > 0,
        end: () => {},
        abort: () => {},
        onDrain: () => {},
        onGone: () => {},
      },
      (error) => finish(error !== undefined),
    );
    const noop = () => {};
    response.call = { pause: noop, resume: noop, abort: noop } as unknown as UpstreamCall;
    const length = pieces.reduce((sum, piece) => sum + piece.length, 0);
    response.head(
      200,
      [
        ["x-echo", `Bearer ${values[0]}`],
        ...(coding === "" ? [] : ([["content-encoding", coding]] as [string, string][])),
        ...(known ? ([["content-length", String(length)]] as [string, string][]) : []),
      ],
      false,
    );
    for (const piece of pieces) response.data(piece);
    response.end([]);
  });
}

const clear = (data: Buffer) => needles.every((needle) => data.indexOf(needle) === -1);
const part = fc.oneof(
  fc.constantFrom(...needles),
  // Beginnings and ends of them, which must not confuse the search.
  fc
    .tuple(fc.constantFrom(...needles), fc.nat({ max: 60 }), fc.nat({ max: 60 }))
    .map(([needle, from, to]) => needle.subarray(from % needle.length, 1 + (to % needle.length))),
  fc.string({ unit: "binary", maxLength: 12 }).map((text) => Buffer.from(text)),
  fc.uint8Array({ maxLength: 12 }).map((bytes) => Buffer.from(bytes)),
);
const message = fc
  .tuple(fc.nat({ max: 255 }), fc.array(part, { maxLength: 12 }))
  .map(([first, parts]) => Buffer.concat([Buffer.from([first]), ...parts]));
const incompressible = randomBytes(200_000);

fuzz({
  name: "response-relay",
  directory: import.meta.dirname,
  codec: asBytes,
  input: (seeds) => mutatedBytes(seeds, message),
  async check(input) {
    const first = input[0] ?? 0;
    const [coding, encode] = codings[first % codings.length]!;
    const text = input.subarray(1);
    // Some bodies are long, so that needles lie on the borders of what decoders give out.
    const plain = first >= 250 ? Buffer.concat([incompressible, text, incompressible, text]) : text;
    const sent = encode(plain);
    const cuts = [[sent], cut(sent, 5000, sent.length), ...(sent.length < 5000 ? [cut(sent, 3, sent.length)] : [])];
    for (const pieces of cuts) {
      const { body, headers, failed } = await relay(pieces, coding, (first & 64) !== 0);
      // A value that stands in the coded bytes as it is gets overwritten there, which checksums tell. The letters around something that
      // a coder left out may make one as well.
      const untouched = coding === "" || clear(sent);
      assert.ok(!failed || !untouched);
      assert.ok(clear(body), "a secret came out");
      assert.ok(clear(Buffer.from(headers)), "a secret came out in a header");
      if (clear(plain) && untouched) assert.ok(body.equals(plain), "a body without secrets was changed");
    }
    // What claims a coding that it does not have may fail, but says nothing.
    if (first % 3 === 0) assert.ok(clear((await relay([plain], "gzip, zstd", false)).body));
  },
});

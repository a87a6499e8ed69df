/** What the URL and the configuration header of a request say, read without a server: a value or `invalid_argument`, nothing else. */
import assert from "node:assert/strict";
import { CaissonError, configSchema } from "@caisson/protocol";
import { asJson, fuzz, mutatedValue } from "@caisson/testing/fuzz";
import fc from "fast-check";
import { checkCreateConfig } from "./create-request.ts";
import { parseCapacity } from "../volumes/capacity.ts";
import { decodeConfigHeader } from "./config-header.ts";
import { parsePythonDict, readLabelFilter } from "../kernel/labels/read-filter.ts";
import { nextLink, readPage } from "../kernel/http/pagination.ts";

interface Input {
  readonly query: string;
  readonly header: string;
  readonly config: unknown;
  readonly capacity: number | string;
}

const text = (value: unknown) => (typeof value === "string" ? value : JSON.stringify(value ?? null));
const config = configSchema.parse({});

function attempt<T>(work: () => T): T | undefined {
  try {
    return work();
  } catch (error) {
    assert.ok(error instanceof CaissonError && error.status >= 400 && error.status < 500, `${(error as Error).stack}`);
    assert.ok(error.message.length < 20_000, "the answer is longer than what was asked");
    return undefined;
  }
}

const queryPart = fc.constantFrom(
  "labels[a]=b",
  "labels={'a': 'b'}",
  "labels=",
  "{",
  "}",
  "'",
  '"',
  "\\",
  "\\x41",
  "\\U0010ffff",
  "\\Uffffffff",
  ":",
  ",",
  "&",
  "=",
  "limit=",
  "cursor=",
  "1",
  "1e3",
  "-1",
  "https://x/?cursor=",
  "labels[",
  "]",
  "%",
  "%F0",
  "\ud800",
  "None",
);
const query = fc.array(queryPart, { maxLength: 12 }).map((parts) => parts.join(""));
const dictionary = fc.dictionary(
  fc.string({ unit: "binary", maxLength: 6 }),
  fc.string({ unit: "binary", maxLength: 6 }),
  { maxKeys: 4, noNullPrototype: true },
);

fuzz<Input>({
  name: "queries",
  directory: import.meta.dirname,
  codec: asJson<Input>(),
  input: (seeds) =>
    fc.oneof(
      mutatedValue(seeds),
      fc.tuple(fc.constantFrom(...seeds), query).map(([seed, query]) => ({ ...seed, query })),
      fc.tuple(fc.constantFrom(...seeds), dictionary).map(([seed, labels]) => ({
        ...seed,
        query: `labels=${encodeURIComponent(JSON.stringify(labels).toWellFormed())}`,
      })),
    ),
  check(input) {
    const {
      query,
      header,
      config: wanted,
      capacity,
    } = (typeof input === "object" && input !== null ? input : {}) as Input;
    const parameters = new URLSearchParams(text(query));
    const page = attempt(() => readPage(parameters, { standard: 30, most: 100 }));
    if (page !== undefined) assert.ok(Number.isInteger(page.limit) && page.limit >= 1 && page.limit <= 100);
    const labels = attempt(() => readLabelFilter(parameters));
    for (const [key, value] of Object.entries(labels ?? {}))
      assert.ok(typeof key === "string" && typeof value === "string");
    const link = attempt(() => nextLink("http://127.0.0.1:1", "/api/v2/volumes", parameters, "cursor"));
    assert.match(link ?? "", /^<http:\/\/127\.0\.0\.1:1\/api\/v2\/volumes\?[^<>;,\s]*>; rel="next"$/);
    attempt(() => parsePythonDict(text(query)));
    // The body's schema lets nothing else through.
    if (typeof capacity === "number" || (typeof capacity === "string" && capacity.length <= 64))
      attempt(() => parseCapacity(capacity));
    const decoded = attempt(() => decodeConfigHeader(text(header)));
    for (const raw of [decoded, wanted]) {
      const request = attempt(() => checkCreateConfig(raw, config, 1_700_000_000_000));
      if (request !== undefined) assert.ok(Object.keys(request.labels).length <= 5 && Number.isInteger(request.memory));
    }
    // What was sent as base64 is what is judged.
    if (typeof wanted === "object" && wanted !== null && !Array.isArray(wanted)) {
      const written = JSON.stringify(wanted).toWellFormed();
      const again = attempt(() => decodeConfigHeader(Buffer.from(written).toString("base64")));
      assert.deepEqual(again, JSON.parse(written));
    }
  },
});

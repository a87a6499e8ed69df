/** Label filters: `labels[key]=value` from the JavaScript client, `labels={'key': 'value'}` (a Python repr) from the Python one. */
import { CaissonError } from "@caisson/protocol";

export function readLabelFilter(query: URLSearchParams): Record<string, string> {
  const labels: Record<string, string> = {};
  for (const [name, value] of query) {
    const bracketed = /^labels\[(.+)\]$/.exec(name)?.[1];
    if (bracketed !== undefined) labels[bracketed] = value;
    else if (name === "labels" && value !== "" && value !== "None") Object.assign(labels, parsePythonDict(value));
  }
  return labels;
}

/**
 * A dictionary of strings as Python's `repr` (or JSON) writes it.
 * @throws CaissonError `invalid_argument` when it is something else
 */
export function parsePythonDict(text: string): Record<string, string> {
  const tokens = /\s*([{}:,])|\s*('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")/gsy;
  const read = (): string | undefined => {
    const match = tokens.exec(text);
    return match?.[1] ?? match?.[2];
  };
  const expect = (ok: boolean) => {
    if (!ok)
      throw new CaissonError(
        "invalid_argument",
        "The label filter is not a dictionary of strings. Write labels[key]=value.",
      );
  };
  const result: Record<string, string> = {};
  expect(read() === "{");
  let token = read();
  while (token !== undefined && token !== "}") {
    const key = token;
    expect(/^['"]/.test(key) && read() === ":");
    const value = read() ?? "";
    expect(/^['"]/.test(value));
    result[unquote(key)] = unquote(value);
    token = read();
    if (token === ",") token = read();
    else expect(token === "}");
  }
  expect(token === "}");
  return result;
}

const escapes: Readonly<Record<string, string>> = { n: "\n", r: "\r", t: "\t" };

function unquote(literal: string): string {
  return literal
    .slice(1, -1)
    .replace(
      /\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|(.))/gs,
      (_, byte?: string, short?: string, long?: string, character = "") => {
        const code = byte ?? short ?? long;
        if (code === undefined) return escapes[character] ?? character;
        const point = Number.parseInt(code, 16);
        return point <= 0x10ffff ? String.fromCodePoint(point) : "\ufffd";
      },
    );
}

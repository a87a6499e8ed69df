/** The header that carries the configuration of a new sandbox (wire contract 1.2, 2.2). */
import { CaissonError } from "@caisson/protocol";

/** @throws CaissonError `invalid_argument` */
export function decodeConfigHeader(header: string | string[] | undefined): unknown {
  if (header === undefined || header === "") throw bad("is missing");
  if (Array.isArray(header)) throw bad("was sent more than once");
  if (!/^[A-Za-z0-9+/]*={0,2}$/.test(header) || header.length % 4 === 1) throw bad("is not base64");
  let value: unknown;
  try {
    value = JSON.parse(decodeText(Buffer.from(header, "base64")));
  } catch (cause) {
    if (cause instanceof CaissonError) throw cause;
    throw bad("is not JSON");
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw bad("is not a JSON object");
  return value;
}

/** The JavaScript client's `btoa` makes Latin-1 of what is not ASCII, the Python client sends UTF-8 (T21). */
function decodeText(bytes: Buffer): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    return bytes.toString("latin1");
  }
}

function bad(what: string): CaissonError {
  return new CaissonError(
    "invalid_argument",
    `The header x-deno-sandbox-config ${what}. It holds base64 of a JSON object.`,
  );
}

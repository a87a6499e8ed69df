/** A strict reader of answers over HTTP/1.1, in few words: what it refuses, a client might take for something else. */
import assert from "node:assert/strict";

export interface ReadAnswer {
  readonly status: number;
  readonly head: string;
  readonly body: Buffer;
  /** Whether its end was there; an answer until the end of the connection has none of its own. */
  readonly complete: boolean;
}

/**
 * @param methods of the requests, in their order; more answers than requests are a fault
 * @throws AssertionError where the bytes are not what RFC 9112 allows a server to send
 */
export function readAnswers(bytes: Buffer, methods: readonly string[]): ReadAnswer[] {
  const answers: ReadAnswer[] = [];
  for (let at = 0; at < bytes.length;) {
    const end = bytes.indexOf("\r\n\r\n", at);
    if (end < 0) break;
    const head = bytes.toString("latin1", at, end);
    const match = /^HTTP\/1\.1 ([1-9]\d\d) [^\r\n]*((?:\r\n[!#$%&'*+.^_`|~\w-]+: [^\r\n\0]*)*)$/.exec(head);
    assert.ok(match !== null, `not the head of an answer: ${JSON.stringify(head.slice(0, 300))}`);
    const status = Number(match[1]);
    const method = methods[answers.length];
    assert.ok(method !== undefined, "more answers than requests");
    const field = (name: string) =>
      [...head.matchAll(new RegExp(`\r\n${name}: ([^\r\n]*)`, "gi"))].map(([, value]) => value!);
    const [lengths, codings] = [field("content-length"), field("transfer-encoding")];
    assert.ok(lengths.length + codings.length <= 1 && lengths.every((length) => /^\d+$/.test(length)), head);
    at = end + 4;
    let body: Buffer = Buffer.alloc(0);
    let complete = true;
    if (status === 101) [body, complete, at] = [bytes.subarray(at), false, bytes.length];
    else if (method !== "HEAD" && status !== 204 && status !== 304) {
      if (codings.length > 0) {
        const read = readChunks(bytes, at);
        ({ body, complete, at } = read);
      } else if (lengths.length > 0) {
        body = bytes.subarray(at, at + Number(lengths[0]));
        complete = body.length === Number(lengths[0]);
        at += body.length;
      } else [body, complete, at] = [bytes.subarray(at), false, bytes.length];
    }
    answers.push({ status, head, body, complete });
  }
  return answers;
}

function readChunks(bytes: Buffer, from: number): { body: Buffer; complete: boolean; at: number } {
  const chunks: Buffer[] = [];
  for (let at = from; ;) {
    const end = bytes.indexOf("\r\n", at);
    if (end < 0) return { body: Buffer.concat(chunks), complete: false, at: bytes.length };
    const text = bytes.toString("latin1", at, end);
    assert.match(text, /^[0-9a-f]{1,8}$/i, "not the size of a chunk");
    const size = Number.parseInt(text, 16);
    chunks.push(bytes.subarray(end + 2, end + 2 + size));
    at = end + 2 + size + 2;
    if (at > bytes.length) return { body: Buffer.concat(chunks), complete: false, at: bytes.length };
    assert.equal(bytes.toString("latin1", at - 2, at), "\r\n", "a chunk without its end");
    if (size === 0) return { body: Buffer.concat(chunks), complete: true, at };
  }
}

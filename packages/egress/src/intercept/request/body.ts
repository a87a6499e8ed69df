/** Searches a request's body for placeholders, and puts values in where a secret allows it. */
import { Readable, Transform } from "node:stream";
import type { StreamRewriter } from "../../redact/stream-rewriter.ts";
import type { BodyPlan } from "../../secrets/body-plan.ts";
import type { PlaceholderForm } from "../../secrets/vault.ts";
import type { BodyBudget } from "./body-budget.ts";
import type { GuestRequest } from "../model/guest.ts";
import { RequestRefused } from "../model/outcome.ts";

export interface PreparedBody {
  readonly stream?: Readable;
  /** Bytes; absent when not known beforehand. */
  readonly length?: number;
  /** Why the stream broke off, when the proxy itself broke it off. */
  readonly failure: () => Error | undefined;
}

/** A body that must be searched is read whole up to this size before anything is sent, so that a refused request leaves no trace. */
const searchedWhole = 64 * 1024;
/** A body that may change is read whole up to this size, because some services refuse bodies without a length. */
const changedWhole = 2 ** 20;
/** Bytes of a body that are rewritten at once. */
const slice = 16 * 1024;
/** Milliseconds. */
const collectTimeout = 30_000;
const idleAfter = 25;

/** @throws SecretRefused, RequestRefused */
export async function prepareBody(
  request: GuestRequest,
  plan: BodyPlan | undefined,
  budget: BodyBudget,
): Promise<PreparedBody> {
  const { body, bodyLength } = request;
  if (body === undefined) return { failure: () => undefined };
  if (plan === undefined)
    return { stream: body, ...(bodyLength !== undefined && { length: bodyLength }), failure: () => undefined };
  if (bodyLength !== undefined && bodyLength <= (plan.changes ? changedWhole : searchedWhole)) {
    budget.take(bodyLength);
    const { whole, length } = await collect(body, bodyLength, plan.rewriter());
    const pieces = length === 0 ? [] : plan.used.size === 0 ? [whole] : rewritten(whole, plan.rewriter());
    return { stream: Readable.from(pieces, { objectMode: false }), length, failure: () => undefined };
  }
  let failure: Error | undefined;
  const stream = rewriting(plan.rewriter(), (error) => (failure = error));
  // It may fail before it is sent; without a listener that would end the process.
  stream.on("error", () => {});
  body.once("error", (error) => stream.destroy(error));
  body.once("close", () => body.readableEnded || stream.destroy(new Error("The guest ended the request early")));
  body.pipe(stream);
  return { stream, ...(!plan.changes && bodyLength !== undefined && { length: bodyLength }), failure: () => failure };
}

/**
 * Reads a body of an announced length and searches it as it comes.
 * @returns the body as it came, and the bytes that it will have
 */
async function collect(
  body: Readable,
  announced: number,
  rewriter: StreamRewriter<PlaceholderForm>,
): Promise<{ whole: Buffer; length: number }> {
  const timer = setTimeout(
    () => body.destroy(new RequestRefused(408, "body-timeout", "The body of the request did not arrive in time.")),
    collectTimeout,
  );
  // Copied to one buffer: a guest may send it byte by byte, and a buffer for each byte takes a hundred times the memory.
  const whole = Buffer.allocUnsafe(announced);
  let [filled, length] = [0, 0];
  const count = (pieces: readonly Buffer[]): void => pieces.forEach((piece) => (length += piece.length));
  try {
    // The body shares its connection with the answer, so a refusal must not destroy it.
    for await (const chunk of body.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
      count(rewriter.push(chunk));
      chunk.copy(whole, filled);
      filled += chunk.length;
    }
    count(rewriter.end());
  } finally {
    clearTimeout(timer);
  }
  if (filled !== announced)
    throw new RequestRefused(
      400,
      "malformed-request",
      "The body of the request does not have the length that its Content-Length says.",
    );
  return { whole, length };
}

/** Made while it is sent: a body full of placeholders would be several hundred times as long with the values in it. */
function* rewritten(whole: Buffer, rewriter: StreamRewriter<PlaceholderForm>): Generator<Buffer> {
  for (let at = 0; at < whole.length; at += slice) yield* rewriter.push(whole.subarray(at, at + slice));
  yield* rewriter.end();
}

function rewriting(rewriter: StreamRewriter<PlaceholderForm>, onFailure: (error: Error) => void): Transform {
  let idle: NodeJS.Timeout | undefined;
  const guarded = (transform: Transform, pieces: () => Buffer[], callback: (error?: Error | null) => void): void => {
    clearTimeout(idle);
    try {
      for (const piece of pieces()) transform.push(piece);
      if (rewriter.waits) idle = setTimeout(() => rewriter.idle().forEach((piece) => transform.push(piece)), idleAfter);
      callback();
    } catch (error) {
      onFailure(error as Error);
      callback(error as Error);
    }
  };
  return new Transform({
    transform(chunk: Buffer, _, callback) {
      guarded(this, () => rewriter.push(chunk), callback);
    },
    flush(callback) {
      guarded(this, () => rewriter.end(), callback);
    },
    destroy(error, callback) {
      clearTimeout(idle);
      callback(error);
    },
  });
}

/** Makes a request's body fit to go on: searched for placeholders, values put in where a secret asks for it. */
import { Readable, Transform } from "node:stream";
import type { StreamRewriter } from "../redact/stream-rewriter.ts";
import type { BodyPlan } from "../secrets/substitute.ts";
import type { PlaceholderForm } from "../secrets/vault.ts";
import type { GuestRequest } from "./guest.ts";
import { Refusal } from "./refusal.ts";

export interface PreparedBody {
  readonly stream?: Readable;
  /** Bytes; absent when not known beforehand. */
  readonly length?: number;
  /** Tells why the stream broke off, when it was us who broke it. */
  readonly failure: () => Error | undefined;
}

/** Up to here a body that has to be searched is read whole before anything is sent, so that a refusal leaves no trace. */
const searchedWhole = 64 * 1024;
/** Up to here a body that may change is read whole, since some services refuse bodies without a length. */
const changedWhole = 2 ** 20;
const collectTimeout = 30_000;
const idleAfter = 25;

/** @throws SecretRefused, Refusal */
export async function prepareBody(request: GuestRequest, plan: BodyPlan | undefined): Promise<PreparedBody> {
  const { body, bodyLength } = request;
  if (body === undefined) return { failure: () => undefined };
  if (plan === undefined)
    return { stream: body, ...(bodyLength !== undefined && { length: bodyLength }), failure: () => undefined };
  const rewriter = plan.rewriter();
  if (bodyLength !== undefined && bodyLength <= (plan.changes ? changedWhole : searchedWhole)) {
    const whole = await collect(body, rewriter);
    return {
      stream: Readable.from(whole.length === 0 ? [] : [whole], { objectMode: false }),
      length: whole.length,
      failure: () => undefined,
    };
  }
  let failure: Error | undefined;
  const stream = rewriting(rewriter, (error) => (failure = error));
  // It may fail before anybody sends it on; without a listener that would end the process.
  stream.on("error", () => {});
  body.once("error", (error) => stream.destroy(error));
  body.once("close", () => body.readableEnded || stream.destroy(new Error("The guest ended the request early")));
  body.pipe(stream);
  return { stream, ...(!plan.changes && bodyLength !== undefined && { length: bodyLength }), failure: () => failure };
}

async function collect(body: Readable, rewriter: StreamRewriter<PlaceholderForm>): Promise<Buffer> {
  const pieces: Buffer[] = [];
  const timer = setTimeout(
    () => body.destroy(new Refusal(408, "body-timeout", "The body of the request did not arrive in time.")),
    collectTimeout,
  );
  try {
    // The body shares its connection with the answer, so a refusal must not destroy it.
    for await (const chunk of body.iterator({ destroyOnReturn: false })) pieces.push(...rewriter.push(chunk as Buffer));
    pieces.push(...rewriter.end());
    return Buffer.concat(pieces);
  } finally {
    clearTimeout(timer);
  }
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

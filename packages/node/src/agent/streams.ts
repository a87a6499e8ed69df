/** Byte streams of the agent as Node streams: HTTP/2 flow control is their back-pressure. */
import { constants, type ClientHttp2Stream } from "node:http2";
import { Readable, Writable } from "node:stream";
import { CaissonError } from "@caisson/protocol";
import type { AgentConnection } from "./connection.ts";
import { openRequest, responseStatus } from "./request.ts";

/** The output stream `id`. Destroying it notifies the guest that nobody reads any more. */
export function readStream(connection: AgentConnection, id: bigint): Readable {
  let request: ClientHttp2Stream | undefined;
  let flowing = false;
  const readable = new Readable({
    highWaterMark: 64 * 1024,
    read: () => {
      if (flowing) request?.resume();
    },
    construct: (done) =>
      void settle(done, async () => {
        request = await openRequest(connection, { ":method": "GET", ":path": `/streams/${id}` }, true);
        follow(request);
      }),
    destroy: (error, done) => {
      if (request !== undefined && !request.destroyed) request.close(constants.NGHTTP2_CANCEL);
      done(error);
    },
  });
  const follow = (stream: ClientHttp2Stream) => {
    stream.once("response", (headers) => {
      if (headers[":status"] !== 200) {
        readable.destroy(
          new CaissonError("not_found", `The sandbox has no output stream ${id}, or it was already read.`),
        );
        return;
      }
      stream.on("data", (chunk: Buffer) => {
        if (!readable.push(chunk)) stream.pause();
      });
      flowing = true;
    });
    stream.on("end", () => {
      // Node ends a stream that was reset, too.
      if (stream.rstCode !== constants.NGHTTP2_NO_ERROR || stream.aborted) readable.destroy(broken());
      else if (flowing) readable.push(null);
      // Reset with code 0 in place of an answer.
      else readable.destroy(broken());
    });
    stream.on("error", (cause) => readable.destroy(broken(cause)));
    // A stream that closes without an error code must not look complete.
    stream.on("close", () => {
      if (!stream.readableEnded && !readable.destroyed) readable.destroy(broken());
    });
  };
  // The guest may reset the stream after its reader has gone; that must not end this process.
  readable.on("error", () => undefined);
  return readable;
}

/** The input stream `id`. `finish` means that the guest has taken every byte. */
export function writeStream(connection: AgentConnection, id: bigint): Writable {
  let request: ClientHttp2Stream;
  let taken: Promise<void>;
  const writable: Writable = new Writable({
    highWaterMark: 256 * 1024,
    construct: (done) =>
      void settle(done, async () => {
        request = await openRequest(connection, { ":method": "PUT", ":path": `/streams/${id}` }, false);
        request.on("error", () => undefined);
        taken = responseStatus(request).then(({ status }) => {
          if (status !== 204) throw refused(status, id);
        });
        // The program inside may stop reading at any time, also while nothing is being written.
        taken.catch((error: Error) => writable.destroy(error));
        request.resume();
      }),
    write: (chunk: Buffer, _encoding, done) => {
      // The answer that follows a failed write says more about the reason.
      request.write(chunk, (failed) => (failed == null ? done() : void settle(done, () => taken)));
    },
    final: (done) => {
      request.end();
      void settle(done, () => taken);
    },
    destroy: (error, done) => {
      // Resetting the request before its end means the end of input for the reader, too.
      if (request !== undefined && !request.destroyed) request.close(constants.NGHTTP2_CANCEL);
      done(error);
    },
  });
  // As above: the program may end after the writer has gone.
  writable.on("error", () => undefined);
  return writable;
}

async function settle(done: (error?: Error | null) => void, action: () => Promise<void>): Promise<void> {
  try {
    await action();
  } catch (error) {
    done(error as Error);
    return;
  }
  done();
}

function broken(cause?: unknown): CaissonError {
  return new CaissonError("unavailable", "The connection to the sandbox ended before the end of the stream.", {
    cause,
  });
}

function refused(status: number, id: bigint): Error {
  if (status === 410) return Object.assign(new Error("The program no longer reads its input."), { code: "EPIPE" });
  return new CaissonError("not_found", `The sandbox has no input stream ${id}.`);
}

/** Opens HTTP/2 requests on a connection's current session. */
import type { ClientHttp2Stream, OutgoingHttpHeaders } from "node:http2";
import { CaissonError } from "@caisson/protocol";
import type { AgentConnection } from "./connection.ts";

/** @throws CaissonError `unavailable` when there is no session to open it on */
export async function openRequest(
  connection: AgentConnection,
  headers: OutgoingHttpHeaders,
  endStream: boolean,
): Promise<ClientHttp2Stream> {
  for (let attempt = 0; ; attempt++) {
    const { session, meter } = await connection.session();
    try {
      const stream = session.request(headers, { endStream });
      meter.follow(stream);
      return stream;
    } catch (cause) {
      // The session may have closed since; a second session that refuses is broken.
      if (attempt === 0 && (session.closed || session.destroyed)) continue;
      throw new CaissonError("unavailable", "The sandbox's agent does not accept requests.", { cause });
    }
  }
}

/**
 * Waits for the response headers.
 * @returns the status; 0 when the agent sent something else
 */
export function responseStatus(
  stream: ClientHttp2Stream,
): Promise<{ status: number; headers: Readonly<Record<string, unknown>> }> {
  return new Promise((resolve, reject) => {
    stream.once("response", (headers) => resolve({ status: headers[":status"] ?? 0, headers }));
    stream.once("error", (cause) =>
      reject(new CaissonError("unavailable", "The sandbox's agent reset the stream.", { cause })),
    );
    // A reset without an error code closes a stream without an error event.
    stream.once("close", () => reject(new CaissonError("unavailable", "The sandbox's agent reset the stream.")));
  });
}

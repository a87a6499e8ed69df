/** One HTTP/2 session with an agent, over a synchronised socket. The agent may be hostile: everything that it may send is bounded. */
import { type ClientHttp2Session, type ClientHttp2Stream, connect } from "node:http2";
import type { Socket } from "node:net";
import { controlLimits } from "@caisson/guest-port";
import { CaissonError } from "@caisson/protocol";

/** The name in requests' `:authority`; nothing resolves it. */
export const agentOrigin = "http://agent";

/** Sum over all streams. Node returns connection-level credit at once, so this limits bursts, not memory. */
const sessionWindowBytes = 64 * 2 ** 20;
const maximumHeaderBytes = 16 * 1024;
const settingsDeadlineMs = 10_000;
/**
 * Streams that the protocol forbids: a correct agent opens none. Node counts as invalid also what a correct agent had sent to a stream that
 * we have just reset, over the whole life of the session: an instance of an app lost its session, and all requests on it, after some
 * hundred requests. `PortMeter` limits such frames by time. Node takes these for clients, too; its type definitions know them for servers only.
 */
const intolerance = { maxSessionInvalidFrames: 2 ** 31 - 1, maxSessionRejectedStreams: 16 };

/**
 * @throws CaissonError `timeout` when the agent sends no settings, `unavailable` when it ends the session
 */
export async function openSession(socket: Socket): Promise<ClientHttp2Session> {
  const session = connect(agentOrigin, {
    createConnection: () => socket,
    settings: {
      enablePush: false,
      initialWindowSize: controlLimits.window,
      maxFrameSize: 2 ** 20,
      maxHeaderListSize: maximumHeaderBytes,
      // A guest opens no streams here.
      maxConcurrentStreams: 0,
    },
    maxHeaderListPairs: 64,
    maxReservedRemoteStreams: 0,
    maxSettings: 16,
    // MB of everything that nghttp2 holds for the session.
    maxSessionMemory: 64,
    peerMaxConcurrentStreams: 1000,
    ...intolerance,
  });
  session.on("stream", (stream: ClientHttp2Stream) => {
    stream.on("error", () => undefined);
    stream.destroy();
  });
  await new Promise<void>((resolve, reject) => {
    const timer = setTimeout(() => {
      reject(
        new CaissonError(
          "timeout",
          `The sandbox's agent sent no HTTP/2 settings within ${settingsDeadlineMs / 1000} seconds.`,
        ),
      );
      session.destroy();
    }, settingsDeadlineMs);
    session.once("remoteSettings", () => {
      clearTimeout(timer);
      resolve();
    });
    session.once("close", () => {
      clearTimeout(timer);
      reject(new CaissonError("unavailable", "The sandbox's agent closed its connection."));
    });
    // "close" follows.
    session.on("error", () => undefined);
  });
  session.setLocalWindowSize(sessionWindowBytes);
  return session;
}

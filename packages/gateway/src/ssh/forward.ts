/** Connections from the client's side to ports and sockets inside the sandbox (`ssh -L`, `-D`, `-W`). Never to the node: the agent dials. */
import { pipeline } from "node:stream/promises";
import type { SshRoute } from "@caisson/protocol";
import type { Logger } from "pino";
import type { ServerChannel, TcpipRequestInfo } from "ssh2";

/**
 * `localhost` and this sandbox's own addresses are inside the sandbox. Any other host is reached through the sandbox's network, under its
 * policy.
 */
export async function forwardIn(
  { destIP, destPort }: TcpipRequestInfo,
  accept: () => ServerChannel,
  reject: () => void,
  { route, log }: { readonly route: SshRoute; readonly log: Logger },
): Promise<void> {
  const hosts = destIP === "localhost" || destIP === "" ? ["127.0.0.1", "::1"] : [destIP];
  for (const host of hosts) {
    const inside = await route.agent.dial(host, destPort).catch((error: unknown) => {
      log.debug({ err: error }, "a forwarded connection was not made");
    });
    if (inside === undefined) continue;
    try {
      const channel = accept();
      channel.once("close", () => inside.destroy());
      // Each direction ends for itself: a half-closed connection goes on in the other one.
      await Promise.allSettled([pipeline(channel, inside), pipeline(inside, channel)]);
    } finally {
      inside.destroy();
    }
    return;
  }
  reject();
}

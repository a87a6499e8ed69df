/** Connections from the client's side to ports and UNIX sockets inside the sandbox (`ssh -L`, `-D`, `-W`). Never to the node: the agent dials. */
import type { Duplex } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { SshRoute } from "@caisson/protocol";
import type { Logger } from "pino";
import type { ServerChannel } from "ssh2";
import { enforceWindow, type Flow } from "./flow.ts";
import { sshLimits } from "./limits.ts";

export interface ForwardOptions {
  readonly accept: () => ServerChannel;
  readonly reject: () => void;
  readonly route: SshRoute;
  readonly flow: Flow;
  readonly violated: () => void;
  readonly log: Logger;
}

/**
 * `localhost` and this sandbox's own addresses are inside the sandbox. Any other host is reached through the sandbox's network, under its
 * policy.
 */
export async function forwardIn(
  { host, port }: { readonly host: string; readonly port: number },
  { accept, reject, route, flow, violated, log }: ForwardOptions,
): Promise<void> {
  const hosts = host === "localhost" || host === "" ? ["127.0.0.1", "::1"] : [host];
  for (const one of hosts) {
    const inside = await route.agent.dial(one, port).catch((error: unknown) => {
      log.debug({ err: error }, "a forwarded connection was not made");
    });
    if (inside === undefined) continue;
    return join(accept(), inside, { flow, violated });
  }
  reject();
}

/** To a UNIX socket inside the sandbox (`ssh -L port:/path`), with the rights of its user. */
export async function forwardToSocket(
  path: string,
  { accept, reject, route, flow, violated, log }: ForwardOptions,
): Promise<void> {
  const inside = await route.agent.connectUnix(path).catch((error: unknown) => {
    log.debug({ err: error }, "a forwarded connection was not made");
  });
  if (inside === undefined) return reject();
  return join(accept(), inside, { flow, violated });
}

/** Resolves when both directions have ended. */
export async function join(
  channel: ServerChannel,
  inside: Duplex,
  { flow, violated }: Pick<ForwardOptions, "flow" | "violated">,
): Promise<void> {
  let late: NodeJS.Timeout | undefined;
  try {
    channel.on("error", () => inside.destroy());
    enforceWindow(channel, violated);
    // What the client has sent before it closed the channel is on its way.
    channel.once("close", () => (late = setTimeout(() => inside.destroy(), sshLimits.drain)));
    // Each direction ends for itself: a half-closed connection goes on in the other one. `end` would close the whole channel.
    await Promise.allSettled([
      pipeline(channel, inside),
      flow.copy(inside, channel, channel).then(() => channel.eof()),
    ]);
  } finally {
    clearTimeout(late);
    inside.destroy();
    channel.close();
  }
}

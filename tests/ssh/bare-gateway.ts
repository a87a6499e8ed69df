/** The SSH gateway alone: for what happens before a login, where no machine is needed. */
import { randomBytes } from "node:crypto";
import { createSshGateway } from "@caisson/gateway";
import type { SshGateway, SshRoute } from "@caisson/protocol";
import { pino } from "pino";

/** Listens. @param find routes by user name */
export async function bareGateway(find: (name: string) => Promise<SshRoute | undefined>): Promise<SshGateway> {
  const gateway = createSshGateway({
    host: "127.0.0.1",
    port: 0,
    publicHost: "127.0.0.1",
    seed: randomBytes(32),
    log: pino({ level: "silent" }),
  });
  await gateway.listen({ find });
  return gateway;
}

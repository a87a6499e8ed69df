/** The gateway of an installation, and the authority whose certificate visitors of exposed ports have to trust. */
import { join } from "node:path";
import { createGatewayAuthority } from "@caisson/egress";
import { createGateway, createSshGateway } from "@caisson/gateway";
import { replaceFile } from "@caisson/linux";
import type { Config, HttpGateway, SshGateway } from "@caisson/protocol";
import type { Logger } from "pino";

export interface InstalledGateway {
  readonly http: HttpGateway;
  /** Absent when it is turned off. */
  readonly ssh: SshGateway | undefined;
  /** Path of the certificate (PEM) of our own authority; absent where the operator's certificate or a proxy in front is used. */
  readonly authority: string | undefined;
}

export interface GatewayPlace {
  readonly home: string;
  readonly config: Config;
  /** Our own authority's key follows from it, so that it is the same after a restart and stands in no file. */
  readonly seed: Uint8Array;
  readonly log: Logger;
}

export async function openGateway({ home, config, seed, log }: GatewayPlace): Promise<InstalledGateway> {
  const authority = await createGatewayAuthority(seed);
  const http = createGateway({
    config: config.gateway,
    port: config.httpsPort,
    trustedProxies: config.trustedProxies,
    issue: (hosts) => authority.issue(hosts),
    log,
  });
  const ssh = config.ssh.enabled ? openSsh(config, seed, log) : undefined;
  if (!config.gateway.tls || config.gateway.cert !== undefined) return { http, ssh, authority: undefined };
  const path = join(home, "gateway-ca.pem");
  await replaceFile(path, authority.certificatePem, { mode: 0o644 });
  return { http, ssh, authority: path };
}

function openSsh(config: Config, seed: Uint8Array, log: Logger): SshGateway {
  const { domain } = config.gateway;
  return createSshGateway({
    host: config.ssh.host,
    port: config.sshPort,
    publicHost: config.ssh.publicHost ?? (domain === "localhost" ? config.ssh.host : domain),
    publicPort: config.ssh.publicPort,
    seed,
    agentForwarding: config.ssh.agentForwarding,
    log: log.child({ part: "ssh" }),
  });
}

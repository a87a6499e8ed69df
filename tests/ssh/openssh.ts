/** OpenSSH's own programs as a user calls them. */
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { program, type Ended } from "./programs.ts";

export interface SshAddress {
  readonly hostname: string;
  readonly username: string;
  readonly port: number;
}

/** Removed when the process ends. */
const directories = new Set<string>();
process.once("exit", () => {
  for (const directory of directories) rmSync(directory, { recursive: true, force: true });
});

export class OpenSsh {
  /** Path of the configuration, in which the sandbox is called `sandbox`. */
  readonly config: string;

  /**
   * @param hostKey type and base64: the host key is checked
   * @param lines more of the configuration; of two lines for one thing the first counts
   */
  constructor({ hostname, username, port }: SshAddress, hostKey: string, lines: readonly string[] = []) {
    const directory = mkdtempSync(join(tmpdir(), "caisson-ssh-"));
    directories.add(directory);
    this.config = join(directory, "config");
    const knownHosts = join(directory, "known_hosts");
    writeFileSync(knownHosts, `[${hostname}]:${port} ${hostKey}\n`);
    writeFileSync(
      this.config,
      [
        `Host sandbox`,
        ...lines.map((line) => `  ${line}`),
        `  HostName ${hostname}`,
        `  User ${username}`,
        `  Port ${port}`,
        `  UserKnownHostsFile ${knownHosts}`,
        `  StrictHostKeyChecking yes`,
        `  IdentityFile none`,
        `  BatchMode yes`,
        `  LogLevel ERROR`,
        "",
      ].join("\n"),
    );
  }

  /** The arguments name the sandbox `sandbox` */
  run(name: "ssh" | "scp" | "sftp", args: readonly string[], input = ""): Promise<Ended> {
    return program(name, ["-F", this.config, ...args], input);
  }

  /** Starts `ssh` and leaves it running. The caller ends it. */
  start(args: readonly string[]) {
    return spawn("ssh", ["-F", this.config, ...args], { stdio: ["pipe", "pipe", "pipe"] });
  }
}

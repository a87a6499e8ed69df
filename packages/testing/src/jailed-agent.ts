/** The agent for `HostNode` in a jail: it sees this host's files but can change only its own directory, and no process but its own. */
import { chmod, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { buildAgent } from "./host-node.ts";

/** @returns the path of a program to hand to `HostNode`, for tests that ask for whatever comes to mind */
export async function buildJailedAgent(directory: string): Promise<string> {
  const agent = buildAgent(directory);
  const path = join(directory, "jailed-agent");
  const options =
    "--dev /dev --proc /proc --unshare-pid --unshare-net --unshare-ipc --unshare-uts --die-with-parent --cap-drop ALL";
  await writeFile(
    path,
    `#!/bin/sh\nown=\${HOME%/home}\nexec bwrap --ro-bind / / --tmpfs /tmp --bind "$own" "$own" --ro-bind ${directory} ${directory} ${options} ${agent} "$@"\n`,
  );
  await chmod(path, 0o755);
  return path;
}

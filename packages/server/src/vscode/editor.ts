/** Starts the editor in a sandbox (wire contract 4.7): its image, its settings, its extensions, then its server. */
import type { RpcParams, RpcResult } from "@caisson/api";
import { CaissonError, type SandboxNode } from "@caisson/protocol";
import { spawn, type Call } from "../rpc/index.ts";
import { installExtensions } from "./extensions.ts";
import { place, program } from "./place.ts";
import { editorSettings } from "./settings.ts";

/** Until the editor's server listens, milliseconds. On an emulated processor it takes half a minute and more. */
const startDeadline = 180_000;
/** The client adds its own token, which allows everything in its organisation. The sandbox must not get it. */
const withheld = "DENO_DEPLOY_SANDBOX_TOKEN";

/** @throws CaissonError, and what a system call in the sandbox throws */
export async function startEditor(
  params: RpcParams<"vscode">,
  call: Call,
  { machines }: Pick<SandboxNode, "machines">,
): Promise<RpcResult<"vscode">> {
  const { sandbox, agent, signal } = call;
  const { path } = params;
  const { path: folder } = await agent.files.realPath({ path }, { signal });
  const { mode } = await agent.files.stat({ path: folder }, { signal });
  if ((mode & 0o170000) !== 0o040000)
    throw new CaissonError("invalid_argument", `VS Code opens a folder, and ${path} is not one.`);
  await machines.attachImage(sandbox.id, "vscode", place, { signal });
  const { path: data } = await agent.files.makeTempDir({ prefix: "caisson-vscode-" }, { signal });
  const user = `${data}/User`;
  await agent.files.mkdir({ path: user, recursive: true }, { signal });
  const write = (name: string, text: string) =>
    agent.files.writeFile({ path: name, data: Buffer.from(text), create: true }, { signal });
  await write(`${user}/settings.json`, editorSettings(params.editorSettings));
  // Without a file it makes one in the home directory, with a password that nobody asks for.
  await write(`${data}/config.yaml`, "auth: none\n");
  const own = ["--config", `${data}/config.yaml`, "--user-data-dir", data, "--extensions-dir", `${data}/extensions`];
  if (params.extensions.length > 0) await installExtensions(params.extensions, own, call);
  const options = {
    env: environmentOf(params),
    cwd: folder,
    stdout: "piped",
    stderr: "piped",
  } as const;
  const editor = await spawn({ command: program, args: [...own, ...serverArguments, folder] }, options, call);
  const { port } = await agent.processes
    .waitListening({ pid: editor.pid }, { signal, timeoutMs: startDeadline })
    .catch(async (error: unknown) => {
      await agent.processes.kill({ pid: editor.pid, signal: "SIGKILL" }).catch(() => undefined);
      throw error;
    });
  if (port === 0) {
    const { code } = await agent.processes.wait({ pid: editor.pid }, { signal });
    throw new CaissonError(
      "guest_error",
      `VS Code ended while it started, with exit code ${code}. It needs about 500 MiB of memory and space in /tmp.`,
    );
  }
  return { pid: editor.pid, port, stdoutStreamId: editor.stdoutStreamId!, stderrStreamId: editor.stderrStreamId! };
}

const serverArguments = [
  // Any free port, and only from inside the sandbox: visitors come through the gateway, under a name that cannot be guessed.
  "--bind-addr",
  "127.0.0.1:0",
  "--disable-telemetry",
  "--disable-update-check",
  // Other ports of the sandbox would be pages of the editor's own origin. They have names of their own.
  "--disable-proxy",
  "--disable-getting-started-override",
  // Whoever has the address may do everything in the folder already.
  "--disable-workspace-trust",
  "--app-name",
  "Caisson",
];

function environmentOf({ env = {}, preview, disableStopButton }: RpcParams<"vscode">): Record<string, string> {
  const given = Object.entries(env).filter(([name]) => name !== withheld);
  return {
    ...Object.fromEntries(given),
    ...(preview === undefined ? {} : { CAISSON_VSCODE_PREVIEW: preview }),
    ...(disableStopButton === true ? {} : { CAISSON_VSCODE_STOP_BUTTON: "1" }),
  };
}

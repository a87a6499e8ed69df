/** Runs a command in a sandbox by OpenSSH's `ssh`, with nothing but the user name that `exposeSsh` gave. Runs in Node and in Deno. */
import { execFile } from "node:child_process";
import process from "node:process";

/** The JavaScript client drops the port; anybody can ask for it. */
async function portOfGateway(): Promise<number> {
  const answer = await fetch(`${process.env["DENO_DEPLOY_ENDPOINT"]}/api/v1/ssh/host-key`);
  return ((await answer.json()) as { port: number }).port;
}

/** @returns its output. @throws Error with what ssh printed when it fails */
export async function login(address: { hostname: string; username: string }, command: string): Promise<string> {
  const port = await portOfGateway();
  const options = ["StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR", "BatchMode=yes"];
  const args = [...options.flatMap((option) => ["-o", option]), "-p", `${port}`];
  return await new Promise((resolve, reject) => {
    const target = `${address.username}@${address.hostname}`;
    const child = execFile("ssh", [...args, target, command], { timeout: 30_000 }, (error, stdout, stderr) =>
      error === null ? resolve(stdout) : reject(new Error(`ssh failed: ${stderr}`, { cause: error })),
    );
    child.stdin?.end();
  });
}

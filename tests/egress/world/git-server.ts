/** A real git server: git's own `http-backend` behind HTTPS, with one repository. */
import { execFile, spawn } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import type { Identity } from "./authority.ts";

const run = promisify(execFile);

export interface GitServer {
  readonly address: string;
  /** Of its one repository. */
  readonly path: string;
  readonly commit: string;
  close(): Promise<void>;
}

export async function startGitServer(identity: Identity): Promise<GitServer> {
  const root = await mkdtemp(join(tmpdir(), "csn-git-"));
  const work = join(root, "work");
  const git = (...args: string[]): Promise<{ stdout: string }> =>
    run("git", ["-C", work, "-c", "user.name=Test", "-c", "user.email=test@host.example", ...args]);
  await run("git", ["init", "--quiet", "--initial-branch=main", work]);
  await writeFile(join(work, "README"), "Cloned through egress.\n");
  await git("add", "README");
  await git("commit", "--quiet", "--message", "A file");
  const commit = (await git("rev-parse", "HEAD")).stdout.trim();
  await run("git", ["clone", "--quiet", "--bare", work, join(root, "project.git")]);
  const backend = join((await run("git", ["--exec-path"])).stdout.trim(), "git-http-backend");

  const server = createServer({ ...identity }, (request, response) => {
    const url = new URL(request.url ?? "/", "https://host");
    const child = spawn(backend, {
      env: {
        GIT_PROJECT_ROOT: root,
        GIT_HTTP_EXPORT_ALL: "1",
        // The repository belongs to whoever runs the test.
        GIT_CONFIG_COUNT: "1",
        GIT_CONFIG_KEY_0: "safe.directory",
        GIT_CONFIG_VALUE_0: "*",
        PATH: process.env["PATH"] ?? "",
        PATH_INFO: url.pathname,
        QUERY_STRING: url.search.slice(1),
        REQUEST_METHOD: request.method ?? "GET",
        CONTENT_TYPE: request.headers["content-type"] ?? "",
        HTTP_CONTENT_ENCODING: request.headers["content-encoding"] ?? "",
        ...(request.headers["git-protocol"] !== undefined && { GIT_PROTOCOL: String(request.headers["git-protocol"]) }),
      },
      stdio: ["pipe", "pipe", "ignore"],
    });
    request.pipe(child.stdin);
    const chunks: Buffer[] = [];
    child.stdout.on("data", (chunk: Buffer) => chunks.push(chunk));
    child.once("close", () => {
      // CGI (RFC 3875 6): header lines, a blank line, the body.
      const output = Buffer.concat(chunks);
      const end = output.indexOf("\r\n\r\n");
      const lines = output.toString("latin1", 0, end).split("\r\n");
      const headers = lines.map((line) => line.split(/:\s*/, 2) as [string, string]);
      const status = headers.find(([name]) => name === "Status")?.[1] ?? "200";
      response.writeHead(
        Number.parseInt(status, 10),
        Object.fromEntries(headers.filter(([name]) => name !== "Status")),
      );
      response.end(output.subarray(end + 4));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    address: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    path: "/project.git",
    commit,
    async close() {
      const closed = new Promise((resolve) => server.close(resolve));
      server.closeAllConnections();
      await closed;
      await rm(root, { recursive: true, force: true });
    },
  };
}

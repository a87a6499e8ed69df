import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer as createHttp, type RequestListener } from "node:http";
import { createServer as createHttps } from "node:https";
import { connect, type AddressInfo, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import type { Agent } from "@caisson/protocol";
import { fetch } from "undici";
import type { Workload } from "../workloads/index.ts";
import { httpThrough } from "./in-sandbox-connector.ts";

let directory: string;
const servers: Server[] = [];
const dialled: string[] = [];
const { signal } = new AbortController();

before(() => {
  directory = mkdtempSync(join(tmpdir(), "caisson-connector-"));
  const openssl = (...args: string[]) => execFileSync("openssl", args, { cwd: directory, stdio: "pipe" });
  const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc", "-days", "2"];
  openssl("req", "-x509", ...key, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=Test authority");
  openssl("req", ...key, "-keyout", "leaf.key", "-out", "leaf.csr", "-subj", "/CN=secure.example");
  writeFileSync(join(directory, "names"), "subjectAltName=DNS:secure.example");
  openssl(
    "x509",
    "-req",
    "-in",
    "leaf.csr",
    "-CA",
    "ca.pem",
    "-CAkey",
    "ca.key",
    "-extfile",
    "names",
    "-out",
    "leaf.pem",
    "-days",
    "2",
  );
});

after(() => {
  for (const server of servers) server.close();
  rmSync(directory, { recursive: true });
});

const read = (name: string) => readFileSync(join(directory, name), "utf8");

async function listen(server: Server): Promise<number> {
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return (server.address() as AddressInfo).port;
}

const echo: RequestListener = (request, response) => {
  response.setHeader("connection", "close");
  response.end(`${request.headers.host} ${request.url}`);
};

/** A sandbox in which every name leads to this host. */
function sandboxThat(trusts: string | undefined): Workload {
  const dial = (host: string, port: number) => {
    dialled.push(`${host}:${port}`);
    return Promise.resolve(connect(port, "127.0.0.1"));
  };
  return {
    id: "sbx",
    kind: "sandbox",
    orgId: "org",
    agent: { dial } as unknown as Agent,
    caCertificatePem: trusts,
    adopted: false,
    since: 0,
    ended: signal,
  };
}

async function get(url: string, sandbox: Workload, port?: number): Promise<string> {
  const http = httpThrough({ sandbox, extraCa: [], signal, port });
  try {
    return await (await fetch(url, { dispatcher: http })).text();
  } finally {
    await http.destroy();
  }
}

test("names are dialled inside the sandbox, and keep their place in the request", async () => {
  const port = await listen(createHttp(echo));
  assert.equal(await get(`http://plain.example:${port}/a?b=c`, sandboxThat(undefined)), `plain.example:${port} /a?b=c`);
  assert.equal(dialled.at(-1), `plain.example:${port}`);
});

test("a process is reached on its own port whatever the URL says", async () => {
  const port = await listen(createHttp(echo));
  assert.equal(await get("http://virtual.example/x", sandboxThat(undefined), port), "virtual.example /x");
  assert.equal(dialled.at(-1), `127.0.0.1:${port}`);
});

test("the sandbox's own authority is trusted, by this sandbox alone, and for the right name alone", async () => {
  const port = await listen(createHttps({ cert: read("leaf.pem"), key: read("leaf.key") }, echo));
  const sandbox = sandboxThat(read("ca.pem"));
  assert.equal(await get(`https://secure.example:${port}/`, sandbox), `secure.example:${port} /`);
  const reason = (error: Error) => (error.cause as { code?: string }).code;
  await assert.rejects(
    get(`https://other.example:${port}/`, sandbox),
    (error: Error) => reason(error) === "ERR_TLS_CERT_ALTNAME_INVALID",
  );
  await assert.rejects(
    get(`https://secure.example:${port}/`, sandboxThat(undefined)),
    (error: Error) => reason(error)?.includes("VERIFY") ?? false,
  );
});

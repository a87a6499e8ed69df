/** Row 37: requests from inside the sandbox, to a server inside it. */
import assert from "node:assert/strict";
import type { Sandbox } from "@deno/sandbox";
import { rejection, until, within, type Scenario } from "../runner/scenario.ts";

/** Answers by path; listens on a port of its own choice and writes it to a file. */
const server = `
import http.server, json, socketserver, sys, time
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def answer(self, status, body=b"", headers=()):
        self.send_response(status)
        for name, value in headers: self.send_header(name, value)
        if status != 204: self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def do_GET(self):
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        if self.headers.get("transfer-encoding") == "chunked":
            while True:
                size = int(self.rfile.readline(), 16)
                body += self.rfile.read(size)
                self.rfile.readline()
                if size == 0: break
        if self.path.startswith("/echo"):
            self.answer(200, json.dumps({"method": self.command, "path": self.path, "body": body.decode(),
                "headers": {k.lower(): v for k, v in self.headers.items()}}).encode(), [("content-type", "application/json")])
        elif self.path == "/redirect": self.answer(302, b"", [("location", "/echo?redirected")])
        elif self.path == "/empty": self.answer(204)
        elif self.path == "/missing": self.answer(404, b"nothing here")
        elif self.path == "/cookies": self.answer(200, b"ok", [("set-cookie", "a=1"), ("set-cookie", "b=2")])
        elif self.path == "/large": self.answer(200, b"x" * 3000000)
        elif self.path == "/never": time.sleep(600)
        elif self.path == "/trickle":
            self.send_response(200); self.send_header("content-length", "1000"); self.end_headers()
            self.wfile.write(b"first"); self.wfile.flush(); time.sleep(600)
    do_POST = do_PUT = do_DELETE = do_GET
    def log_message(self, *a): pass
class Server(socketserver.ThreadingMixIn, http.server.HTTPServer): daemon_threads = True
s = Server(("127.0.0.1", 0), Handler)
open("/tmp/port", "w").write(str(s.server_port))
s.serve_forever()
`;

const origins = new WeakMap<Sandbox, Promise<string>>();

function origin(sandbox: Sandbox): Promise<string> {
  let found = origins.get(sandbox);
  found ??= (async () => {
    await sandbox.fs.writeTextFile("/tmp/server.py", server);
    await sandbox.spawn("python3", { args: ["/tmp/server.py"] });
    const port = await until(
      20_000,
      "the server's port",
      async () => (await sandbox.fs.readTextFile("/tmp/port").catch(() => "")) || undefined,
    );
    return `http://127.0.0.1:${port}`;
  })();
  origins.set(sandbox, found);
  return found;
}

export const scenarios: readonly Scenario[] = [
  {
    row: 37,
    title: "method, headers, body, answer",
    async run({ sandbox }) {
      const base = await origin(sandbox);
      const response = await sandbox.fetch(`${base}/echo?q=1`, {
        method: "POST",
        headers: { "x-own": "yes" },
        body: "grüße",
      });
      assert.equal(response.status, 200);
      assert.equal(response.headers.get("content-type"), "application/json");
      const echo = (await response.json()) as {
        method: string;
        path: string;
        body: string;
        headers: Record<string, string>;
      };
      assert.deepEqual(
        [echo.method, echo.path, echo.body, echo.headers["x-own"]],
        ["POST", "/echo?q=1", "grüße", "yes"],
      );
    },
  },
  {
    row: 37,
    title: "redirects followed or left alone; statuses without a body; repeated headers",
    async run({ sandbox }) {
      const base = await origin(sandbox);
      const followed = await sandbox.fetch(`${base}/redirect`);
      assert.equal(((await followed.json()) as { path: string }).path, "/echo?redirected");
      const manual = await sandbox.fetch(`${base}/redirect`, { redirect: "manual" });
      assert.deepEqual([manual.status, manual.headers.get("location")], [302, "/echo?redirected"]);
      const empty = await sandbox.fetch(`${base}/empty`);
      assert.deepEqual([empty.status, empty.body], [204, null]);
      const missing = await sandbox.fetch(`${base}/missing`);
      assert.deepEqual([missing.status, await missing.text()], [404, "nothing here"]);
      assert.deepEqual((await sandbox.fetch(`${base}/cookies`)).headers.getSetCookie(), ["a=1", "b=2"]);
    },
  },
  {
    row: 37,
    title: "three megabytes, and a body that is dropped half-way",
    async run({ sandbox }) {
      const base = await origin(sandbox);
      assert.equal((await (await sandbox.fetch(`${base}/large`)).arrayBuffer()).byteLength, 3_000_000);
      const dropped = await sandbox.fetch(`${base}/trickle`);
      const reader = dropped.body!.getReader();
      await reader.read();
      await reader.cancel(new Error("enough"));
      assert.equal((await sandbox.fetch(`${base}/missing`)).status, 404);
    },
  },
  {
    row: 37,
    title: "nothing listens: TypeError; an abort ends a pending request",
    async run({ sandbox }) {
      const base = await origin(sandbox);
      assert.equal((await rejection(sandbox.fetch("http://127.0.0.1:1/"))).constructor.name, "TypeError");
      const controller = new AbortController();
      const pending = rejection(sandbox.fetch(`${base}/never`, { signal: controller.signal }));
      await sandbox.sh`true`;
      controller.abort();
      assert.equal((await within(10_000, "the abort", pending)).name, "AbortError");
    },
  },
];

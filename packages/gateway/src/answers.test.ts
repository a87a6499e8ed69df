/** Answers of the gateway itself: pages for people, JSON for programs; and what of a visitor's credentials reaches a program. */
import assert from "node:assert/strict";
import { createServer, type IncomingMessage, type Server } from "node:http";
import { request } from "node:https";
import { after, before, test } from "node:test";
import { listenOn, openPlace, type Place } from "./testing/programs.ts";

let program: Server;
let place: Place;
const seen: IncomingMessage[] = [];

before(async () => {
  program = createServer((incoming, response) => {
    seen.push(incoming);
    response.end("ok");
  });
  place = await openPlace({
    programs: { abc: await listenOn(program), gone: 1 },
    route: (name) =>
      name === "abc"
        ? {
            guard: {
              admits: async (shown) => ("link" in shown && shown.link === "good" ? Date.now() + 60_000 : undefined),
            },
          }
        : {},
  });
});
after(async () => {
  await place.close();
  program.closeAllConnections();
  program.close();
});

function visit(
  name: string,
  headers: Record<string, string>,
  path = "/",
): Promise<{ status: number; headers: IncomingMessage["headers"]; body: string }> {
  const servername = `${name}.localhost`;
  return new Promise((resolve, reject) => {
    const options = { host: "127.0.0.1", port: place.port, servername, rejectUnauthorized: false, agent: false, path };
    const sent = request({ ...options, headers: { host: servername, ...headers } }, (response) => {
      let body = "";
      response.setEncoding("utf8").on("data", (text: string) => (body += text));
      response.on("end", () => resolve({ status: response.statusCode ?? 0, headers: response.headers, body }));
    });
    sent.on("error", reject).end();
  });
}

test("a browser that shows a page gets one, everything else JSON", async () => {
  const page = await visit("gone", { accept: "text/html,application/xhtml+xml", "sec-fetch-dest": "document" });
  assert.equal(page.headers["content-type"], "text/html; charset=utf-8");
  assert.match(
    page.body,
    /<title>502 Bad Gateway<\/title>[^]*http-equiv|http-equiv="refresh"[^]*<title>502 Bad Gateway/,
  );
  assert.match(String(page.headers["content-security-policy"]), /^default-src 'none'/);
  for (const headers of [
    {},
    { accept: "*/*" },
    { accept: "text/html", "sec-fetch-dest": "image" },
    { accept: "application/json" },
  ] as Record<string, string>[]) {
    const { status, headers: got, body } = await visit("nobody", headers);
    assert.deepEqual([status, got["content-type"]], [404, "application/json"]);
    assert.equal((JSON.parse(body) as { code: string }).code, "no-such-preview");
  }
});

test("what a visitor shows to the gateway does not reach the program", async () => {
  seen.length = 0;
  const cookie = "a=1; __Host-caisson-access=good; b=2";
  assert.equal((await visit("abc", { cookie, authorization: "Bearer theirs" })).status, 200);
  assert.deepEqual([seen[0]?.headers.cookie, seen[0]?.headers.authorization], ["a=1; b=2", "Bearer theirs"]);
  const opened = await visit("abc", {}, "//evil.example/?caisson-access=good");
  assert.deepEqual([opened.status, opened.headers.location], [303, "/evil.example/"]);
  const backslash = await visit("abc", {}, "/\\evil.example/?caisson-access=good");
  assert.deepEqual([backslash.status, backslash.headers.location], [303, "/evil.example/"]);
  assert.equal((await visit("abc", { "caisson-authorization": "Bearer x" })).status, 403);
  assert.equal((await visit("abc", {})).headers["caisson-gateway"], "access-needed");
  assert.equal(seen.length, 1);
});

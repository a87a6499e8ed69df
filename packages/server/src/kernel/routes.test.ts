import assert from "node:assert/strict";
import { test } from "node:test";
import type { HttpRoute } from "@caisson/protocol";
import { RouteDirectories } from "./routes.ts";

const { signal } = new AbortController();

test("until the start is over visitors wait, and nothing is started for them; their handshakes go on", async () => {
  let asked = 0;
  const route: HttpRoute = { workloadId: "w", ended: signal, connect: () => Promise.reject(new Error("nobody")) };
  const routes = new RouteDirectories({ find: () => Promise.resolve(undefined), known: () => Promise.resolve(false) });
  routes.add({
    find: async () => {
      asked++;
      return route;
    },
    known: () => Promise.resolve(true),
  });
  const found = routes.find("a.b.app", { signal });
  assert.equal(await routes.known("a.b.app", { signal }), true);
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(asked, 0);
  routes.open();
  assert.equal(await found, route);
  assert.equal(asked, 1);
});

import assert from "node:assert/strict";
import { test } from "node:test";
import { developmentServerHosts } from "./development-servers.ts";

test("development servers answer below the gateway's domain, with a leading dot for all names of it", () => {
  assert.deepEqual(developmentServerHosts("previews.example"), {
    __VITE_ADDITIONAL_SERVER_ALLOWED_HOSTS: ".previews.example",
    RAILS_DEVELOPMENT_HOSTS: ".previews.example",
  });
  assert.deepEqual(developmentServerHosts("localhost"), {});
});

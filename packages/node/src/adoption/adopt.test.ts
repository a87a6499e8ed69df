/** A machine whose policy or secrets cannot be had stays without network; the others are served, and the start goes on. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { CaissonError } from "@caisson/protocol";
import { pino } from "pino";
import { attachEgress } from "./adopt.ts";

test("secrets that do not open keep their own machine alone from the network", async () => {
  const lines: string[] = [];
  const log = pino({}, { write: (line: string) => void lines.push(line) });
  const attached: string[] = [];
  const options = {
    egress: {
      attach({ sandboxId }: { sandboxId: string }) {
        attached.push(sandboxId);
        return Promise.resolve({ caCertificatePem: "PEM" });
      },
    },
    egressOf: (id: string) =>
      id === "altered"
        ? Promise.reject(new CaissonError("internal", "The secret KEY of altered cannot be used."))
        : Promise.resolve({ policy: {}, secrets: [] }),
    log,
  };
  const certificates = await Promise.all(["one", "altered", "two"].map((id) => attachEgress(options, id, "/socket")));
  assert.deepEqual(certificates, ["PEM", undefined, "PEM"]);
  assert.deepEqual(attached, ["one", "two"]);
  assert.equal(lines.length, 1);
  assert.match(lines[0]!, /The secret KEY of altered cannot be used.*"machine":"altered"/);
});

/** A machine whose policy or secrets cannot be had stays without network; the others are served, and the start goes on. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { pino } from "pino";
import { attachEgress } from "./adopt.ts";

test("a policy that cannot be enforced keeps its own machine alone from the network", async () => {
  const lines: string[] = [];
  const log = pino({}, { write: (line: string) => void lines.push(line) });
  const attached: string[] = [];
  const egress = {
    attach({ sandboxId }: { sandboxId: string }) {
      if (sandboxId === "refused") return Promise.reject(new Error("The secret KEY cannot be used."));
      attached.push(sandboxId);
      return Promise.resolve({ caCertificatePem: "PEM" });
    },
  };
  const known = { policy: {}, secrets: [] };
  const machines = [
    { id: "one", egress: known },
    { id: "refused", egress: known },
    { id: "unknown" },
    { id: "two", egress: known },
  ];
  const certificates = await Promise.all(machines.map((machine) => attachEgress({ egress, log }, machine, "/socket")));
  assert.deepEqual(certificates, ["PEM", undefined, undefined, "PEM"]);
  assert.deepEqual(attached, ["one", "two"]);
  assert.equal(lines.length, 1);
  assert.match(lines[0]!, /The secret KEY cannot be used.*"machine":"refused"/);
});

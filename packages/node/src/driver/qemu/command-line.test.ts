import assert from "node:assert/strict";
import { test } from "node:test";
import {
  kernelArguments,
  type MachineArguments,
  nodeName,
  parseNodeName,
  qcow2Chain,
  qemuArguments,
} from "./command-line.ts";

const machine: MachineArguments = {
  shape: { vcpus: 2, baseMemory: 888, pluggableMemory: 3456, accelerator: "tcg" },
  cpu: "max",
  root: qcow2Chain(nodeName("root", 0), [{ place: "disks", name: "root.0" }], { readOnly: false, durable: false }),
  descriptors: { qmp: 4, control: 5, egress: 6 },
  ramFile: "ram",
  mode: { kind: "restore" },
};

test("a clone has no network card, no default device, and cannot write the template", () => {
  const args = qemuArguments(machine);
  const line = args.join(" ");
  assert.ok(args.includes("-nodefaults") && args.includes("-S"));
  assert.match(line, /-sandbox on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny/);
  assert.match(line, /share=off,readonly=on,rom=off/);
  assert.doesNotMatch(line, /netdev|-nic|virtio-net|-kernel/);
});

test("template and clone have the same devices in the same places", () => {
  const devices = (args: readonly string[]) => args.filter((_, index) => args[index - 1] === "-device");
  const boot = qemuArguments({ ...machine, mode: { kind: "boot", kernelArguments: "quiet" } });
  assert.deepEqual(devices(boot), devices(qemuArguments(machine)));
  assert.match(boot.join(" "), /share=on/);
});

test("emulation alone goes without mitigations", () => {
  assert.match(kernelArguments("tcg"), /mitigations=off/);
  assert.doesNotMatch(kernelArguments("kvm"), /mitigations|lpj/);
});

test("a chain names every image itself, and writes only to the top", () => {
  const chain = qcow2Chain(
    "disk-data-0",
    [
      { place: "disks", name: "data.0" },
      { place: "template", name: "blank.qcow2" },
    ],
    { readOnly: false, durable: true },
  );
  const text = JSON.stringify(chain);
  assert.equal(chain?.["read-only"], false);
  const backing = chain["backing"] as Record<string, unknown>;
  assert.equal(backing["read-only"], true);
  assert.equal(backing["backing"], null, "a path written into the lowest image means nothing");
  assert.match(text, /"no-flush":false/);
  assert.match(text, /\/disks\/data\.0.*\/template\/blank\.qcow2/);
});

test("block node names fit QEMU's 31 characters and can be read back", () => {
  const serial = "a".repeat(20);
  const name = nodeName(serial, 1234);
  assert.ok(name.length <= 31);
  assert.deepEqual(parseNodeName(name), { serial, generation: 1234 });
  assert.equal(parseNodeName("base"), undefined);
});

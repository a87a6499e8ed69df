import assert from "node:assert/strict";
import { test } from "node:test";
import { jailedCommand, type JailOptions } from "./jail.ts";

const options: JailOptions = {
  place: {
    runDirectory: "/run/x",
    disksDirectory: "/home/disks/x",
    joinFiles: ["/cg/a/cgroup.procs", "/cg/b/cgroup.procs"],
    uid: 1_900_000_001,
  },
  base: "/cache/base.erofs",
  templateDirectory: "/cache/template",
  writesTemplate: false,
  kvm: false,
  command: ["/usr/bin/qemu-system-x86_64", "-M", "q35"],
};

const line = (changes: Partial<JailOptions> = {}) => jailedCommand({ ...options, ...changes }, () => true).join(" ");

test("as root the monitor becomes a user that owns nothing, without capabilities and without a user name space", () => {
  assert.match(
    line(),
    /--cap-drop ALL .*setpriv --reuid 1900000001 --regid 1900000001 --clear-groups --inh-caps=-all --bounding-set=-all -- \/usr\/bin\/qemu/,
  );
  assert.doesNotMatch(line(), /--unshare-user|\/dev\/kvm/);
});

test("as a user it stays in a user name space", () => {
  const { uid: _uid, ...place } = options.place;
  assert.match(line({ place }), /--unshare-user -- \/usr\/bin\/qemu/);
});

test("it joins its groups first and does not die with us", () => {
  const command = jailedCommand(options, () => true);
  assert.deepEqual(command.slice(3, 7), ["caisson-vm", "2", "/cg/a/cgroup.procs", "/cg/b/cgroup.procs"]);
  assert.doesNotMatch(line(), /--die-with-parent/);
});

test("a clone sees its template read-only and no runtime directory", () => {
  assert.match(line(), /--ro-bind \/cache\/template \/template/);
  assert.doesNotMatch(line(), /\/run\/x/);
  assert.match(line({ writesTemplate: true }), / --bind \/cache\/template \/template/);
});

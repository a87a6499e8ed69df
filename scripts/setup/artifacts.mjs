/**
 * Names of what the set-up builds. Each is kept below a key made from its sources alone, so what is missing is known
 * without building anything, and a changed agent costs a new initramfs but not a new base image.
 *
 *   agent/<key>/agent                  guest agent, static
 *   images/base/<key>/base.erofs       root file system, read-only
 *   images/base/<key>/vmlinuz          guest kernel
 *   images/base/<key>/modules/         kernel modules for the initramfs, and `load-order`
 *   images/base/<key>/manifest.json    { sha256 of base.erofs, kernel, packages, runtimes: { [name]: version } }
 *   images/boot/<key>/initramfs.cpio   the agent as /init, and the modules
 *   images/vscode/<key>/vscode.erofs   VS Code for browsers, read-only; built only when somebody wants it
 *   images/current.json                { key, base, kernel, initramfs, agentVersion }: what to boot now. `key` changes with
 *                                      the content of any of them; base, kernel and initramfs are absolute paths
 */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { cache, root } from "./paths.mjs";
import { treeHash } from "./tree-hash.mjs";

/** Options of the compiler and the archive; part of the key as they change the result. */
export const agentBuild = ["-trimpath", "-buildvcs=false"];

/** Key of the agent's sources as they are now. */
export const agentKey = () =>
  treeHash(root, ["agent"], (file) => /\.go$|\/go\.(mod|sum)$/.test(file) && !file.endsWith("_test.go"), agentBuild);

let agentKeyAtStart;

/** Of the sources as they were when this was first asked: all steps of one set-up mean the same agent. */
export function agentArtifact() {
  const key = (agentKeyAtStart ??= agentKey());
  const directory = join(cache, "agent", key);
  return { key, version: key.slice(0, 12), directory, file: join(directory, "agent") };
}

export function baseArtifact() {
  const key = treeHash(root, ["images/debian-13"]);
  const directory = join(cache, "images/base", key);
  return {
    key,
    directory,
    image: join(directory, "base.erofs"),
    kernel: join(directory, "vmlinuz"),
    manifest: join(directory, "manifest.json"),
  };
}

/**
 * What a template of a machine may be keyed by, so it goes by what the base image holds: the same recipe built on another
 * day has other packages in it.
 */
export function bootArtifact() {
  const { manifest } = baseArtifact();
  const base = existsSync(manifest) ? JSON.parse(readFileSync(manifest, "utf8")).sha256 : "not built yet";
  const sources = ["scripts/setup/cpio.mjs", "scripts/setup/steps/boot-image.mjs"];
  const key = treeHash(root, sources, undefined, [agentArtifact().key, base]);
  const directory = join(cache, "images/boot", key);
  return { key, directory, initramfs: join(directory, "initramfs.cpio") };
}

/** The editor that sandboxes can be given. Its native parts are for the Node.js of the base image. */
export function vscodeArtifact() {
  const key = treeHash(root, [
    "images/vscode",
    "images/debian-13/runtimes.json",
    "scripts/setup/steps/vscode-image.mjs",
  ]);
  const directory = join(cache, "images/vscode", key);
  return { key, directory, image: join(directory, "vscode.erofs") };
}

/**
 * What this checkout boots, whether it is built or not: the content of the pointer file after a set-up of this checkout. A cache may be
 * shared with other checkouts, whose set-up writes the pointer as well.
 */
export function wantedImage() {
  const boot = bootArtifact();
  const base = baseArtifact();
  return {
    key: boot.key,
    base: base.image,
    kernel: base.kernel,
    initramfs: boot.initramfs,
    agentVersion: agentArtifact().version,
  };
}

/** The pointer file: for tools, what the last set-up on this cache made. */
export const currentImage = join(cache, "images/current.json");

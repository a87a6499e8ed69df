/**
 * An owner's root disk in a clone: put into a slot of it and not given to its restore. So a clone from the pool will do, and a disk
 * may have any size, which a guest restored from a template would not notice by itself.
 */
import { rehearsal } from "../agent/rehearsal.ts";
import { ownerRootSerial, type TemplateFiles } from "../driver/driver.ts";
import type { Clone } from "./clone.ts";
import { linkDisk, type RootImages, unlinkDisk } from "../holdings/disk-links.ts";
import { guestError } from "./guest-error.ts";
import { createRehearsalRoot } from "./root-disk.ts";

/** Emulated guests on a busy host; a disk that cannot be mounted fails at once. */
const diskDeadlineMs = 10_000;

/** Puts the disk in. The guest moves over to it when it is configured. */
export async function insertRoot({ vm, holdings }: Clone, root: RootImages): Promise<void> {
  const { serial, readOnly, images } = root;
  const place = { directory: holdings.directories.disks, uid: holdings.uid };
  // The record first: whoever clears up after a crash then knows which image to take back.
  await holdings.update({ disks: [...holdings.record.disks, { serial, root: true, readOnly, images: [images[0]] }] });
  await vm.insertOwnerRoot(await linkDisk(place, root, ownerRootSerial), root.bytes);
}

/** The disk as the guest is told of it. */
export function rootInGuest(bytes: number): { serial: string; bytes: bigint; timeoutMs: number } {
  return { serial: ownerRootSerial, bytes: BigInt(bytes), timeoutMs: diskDeadlineMs };
}

/**
 * Moves a clone that nobody waits for onto the root disk of whoever will own it, and rehearses there what is left to do: so it can
 * be configured as quickly as one on the default root. No program of that root runs before its owner is there.
 * @throws CaissonError; the caller then discards the clone
 */
export async function prepareOnRoot(clone: Clone, root: RootImages): Promise<void> {
  await insertRoot(clone, root);
  const { machine } = clone.agent;
  const changed = machine.changeRoot(rootInGuest(root.bytes), { timeoutMs: 2 * diskDeadlineMs });
  await guestError("move onto its root disk", changed);
  await guestError("rehearse on its root disk", machine.rehearse(rehearsal(), { timeoutMs: diskDeadlineMs }));
}

/** Whether a clone was prepared on this disk. */
export function isPreparedOn({ holdings }: Clone, { images }: RootImages): boolean {
  return holdings.record.disks.some((disk) => disk.root && disk.images[0] === images[0]);
}

/**
 * Does what an owner's root will do with a disk that is thrown away, in a clone that nobody waits for, and takes it back: an
 * emulated processor has then translated what a change of roots runs.
 * @throws CaissonError; the caller then discards the clone
 */
export async function rehearseRoot({ vm, agent, holdings }: Clone, template: TemplateFiles): Promise<void> {
  const place = { directory: holdings.directories.disks, uid: holdings.uid };
  const { disk, bytes } = await createRehearsalRoot(place, template);
  await vm.insertOwnerRoot(disk, bytes);
  const request = { ...rehearsal(), root: rootInGuest(bytes) };
  const rehearsed = agent.machine.rehearse(request, { timeoutMs: 2 * diskDeadlineMs });
  await guestError("rehearse a change of its root disk", rehearsed);
  await vm.removeOwnerRoot();
  await unlinkDisk(
    place,
    disk.chain.map(({ name }) => name),
  );
}

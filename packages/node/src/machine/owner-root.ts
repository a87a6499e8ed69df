/**
 * Puts an owner's root disk into a clone. The disk goes into a free slot after the restore, so a clone from the pool can be used. The
 * disk may have any size; a guest restored from a template would not notice the size by itself.
 */
import { rehearsal } from "../agent/rehearsal.ts";
import { ownerRootSerial, type TemplateFiles } from "../driver/driver.ts";
import type { Clone } from "./clone.ts";
import { linkDisk, type RootImages, unlinkDisk } from "../holdings/disk-links.ts";
import { guestError } from "./guest-error.ts";
import { createRehearsalRoot } from "./root-disk.ts";

/** For emulated guests on a busy host. A disk that cannot be mounted fails at once. */
const diskDeadlineMs = 10_000;

/** Puts the disk in. The guest moves over to it when it is configured. */
export async function insertRoot({ vm, holdings }: Clone, root: RootImages): Promise<void> {
  const { serial, readOnly, images } = root;
  const place = { directory: holdings.directories.disks, uid: holdings.uid };
  // The record first: after a crash the next process then knows which image to take back.
  await holdings.update({ disks: [...holdings.record.disks, { serial, root: true, readOnly, images: [images[0]] }] });
  await vm.insertOwnerRoot(await linkDisk(place, root, ownerRootSerial), root.bytes);
}

/** The disk as it is described to the guest. */
export function rootInGuest(bytes: number): { serial: string; bytes: bigint; timeoutMs: number } {
  return { serial: ownerRootSerial, bytes: BigInt(bytes), timeoutMs: diskDeadlineMs };
}

/**
 * Moves a clone that nobody waits for onto the root disk of its future owner, and rehearses the remaining steps there. So it can
 * be configured as quickly as one on the default root. No program of that root runs before the machine has its owner.
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
 * Rehearses the change to an owner's root in a clone that nobody waits for, with a disk that is deleted afterwards. An emulated
 * processor has then translated the code that a change of roots runs.
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

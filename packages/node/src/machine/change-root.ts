/** Moves a clone onto a root disk that its owner named. */
import type { DiskAttachment } from "@caisson/protocol";
import { ownerRootSerial, type TemplateFiles } from "../driver/driver.ts";
import type { Clone } from "./clone.ts";
import { linkDisk, unlinkDisk } from "./disk-links.ts";
import { guestError } from "./guest-error.ts";
import { createRehearsalRoot } from "./root-disk.ts";

/** Emulated guests on a busy host; a disk that cannot be mounted fails at once. */
const changeRootDeadlineMs = 20_000;

/**
 * Moves a clone onto its owner's root disk. The disk is put into a slot of the clone and not given to its restore: so a clone from
 * the pool will do, and a disk may have any size, which a guest restored from a template would not notice by itself.
 * @param ready pending work on the clone, after which it runs
 * @throws CaissonError `guest_error` when the guest cannot use the disk; the caller then discards the clone
 */
export async function changeRoot(
  { vm, agent, holdings }: Clone,
  attachment: DiskAttachment,
  ready: Promise<void>,
): Promise<void> {
  const { serial, readOnly, image } = attachment;
  const place = { directory: holdings.directories.disks, uid: holdings.uid };
  // The record first: whoever clears up after a crash then knows which image to take back.
  await holdings.update({ disks: [...holdings.record.disks, { serial, root: true, readOnly, images: [image] }] });
  const bytes = await vm.insertOwnerRoot(await linkDisk(place, attachment, ownerRootSerial));
  await ready;
  const changed = agent.machine.changeRoot(
    {
      rootSerial: ownerRootSerial,
      diskBytes: BigInt(bytes),
      growRoot: true,
      timeoutMs: changeRootDeadlineMs / 2,
    },
    { timeoutMs: changeRootDeadlineMs },
  );
  await guestError("start from its root disk", changed);
}

/**
 * Does the same with a disk that is thrown away, in a clone that nobody waits for, and takes it back: an emulated processor has
 * then translated what a change of roots runs.
 * @throws CaissonError; the caller then discards the clone
 */
export async function rehearseChangeRoot({ vm, agent, holdings }: Clone, template: TemplateFiles): Promise<void> {
  const place = { directory: holdings.directories.disks, uid: holdings.uid };
  const disk = await createRehearsalRoot(place, template);
  const bytes = await vm.insertOwnerRoot(disk);
  const rehearsed = agent.machine.changeRoot(
    {
      rootSerial: ownerRootSerial,
      diskBytes: BigInt(bytes),
      rehearsal: true,
      timeoutMs: changeRootDeadlineMs / 2,
    },
    { timeoutMs: changeRootDeadlineMs },
  );
  await guestError("rehearse a change of its root disk", rehearsed);
  await vm.removeOwnerRoot();
  await unlinkDisk(
    place,
    disk.chain.map(({ name }) => name),
  );
}

/** Moves a clone onto a root disk that its owner named. */
import type { DiskAttachment } from "@caisson/protocol";
import type { Clone } from "./clone.ts";
import { guestSerial, linkDisk } from "./disk-links.ts";
import { guestError } from "./guest-error.ts";

/** Emulated guests on a busy host; a disk that cannot be mounted fails at once. */
const changeRootDeadlineMs = 20_000;

/**
 * Moves a clone onto its owner's root disk. The disk is added to the clone and not given to its restore: so a clone from the pool
 * will do, and a disk may have any size, which a guest restored from a template would not notice by itself.
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
  const name = guestSerial({ serial, root: true });
  // The record first: whoever clears up after a crash then knows which image to take back.
  await holdings.update({ disks: [...holdings.record.disks, { serial, root: true, readOnly, images: [image] }] });
  await vm.attachDisk(await linkDisk(place, attachment, name));
  await ready;
  const changed = agent.machine.changeRoot(
    { rootSerial: name, growRoot: true, timeoutMs: changeRootDeadlineMs / 2 },
    { timeoutMs: changeRootDeadlineMs },
  );
  await guestError("start from its root disk", changed);
}

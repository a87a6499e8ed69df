/** Writes a cpio archive in the format "newc", the one in which Linux takes an initramfs. */

/**
 * @typedef {object} Entry
 * @property {string} name path without a leading slash
 * @property {number} mode file type and permissions, as in stat(2)
 * @property {Buffer} [content]
 */

/**
 * Everything belongs to root and has the time 0: the same input gives the same archive.
 * Format: Documentation/driver-api/early-userspace/buffer-format.rst of Linux.
 * @param {readonly Entry[]} entries a folder before what is in it
 * @returns {Buffer}
 */
export function cpio(entries) {
  const parts = [];
  for (const [index, entry] of [...entries, { name: "TRAILER!!!", mode: 0 }].entries()) {
    const content = entry.content ?? Buffer.alloc(0);
    const name = Buffer.from(`${entry.name}\0`);
    const links = (entry.mode & 0o170000) === 0o040000 ? 2 : 1;
    // ino, mode, uid, gid, nlink, mtime, filesize, devmajor, devminor, rdevmajor, rdevminor, namesize, check
    const fields = [index + 1, entry.mode, 0, 0, links, 0, content.length, 0, 0, 0, 0, name.length, 0];
    const header = Buffer.from(`070701${fields.map((field) => field.toString(16).padStart(8, "0")).join("")}`);
    parts.push(header, name, padding(header.length + name.length), content, padding(content.length));
  }
  return Buffer.concat(parts);
}

/** @param {number} length @returns {Buffer} zeros up to the next multiple of four */
const padding = (length) => Buffer.alloc((4 - (length % 4)) % 4);

export const directory = 0o040755;
export const executable = 0o100755;
export const file = 0o100644;

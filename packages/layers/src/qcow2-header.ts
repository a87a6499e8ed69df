/**
 * Headers of qcow2 images, after QEMU's docs/interop/qcow2.rst: read without trusting them, and written for an empty overlay.
 *
 * Read, because a compromised monitor could write any name of a backing file into the header of its disk, and a tool of the host
 * that follows the name would read that file. Written, because a sandbox whose root is a snapshot waits for its overlay, and
 * writing four clusters is faster than starting `qemu-img`.
 */
import { open } from "node:fs/promises";
import { CaissonError } from "@caisson/protocol";

export interface ImageHeader {
  /** As in the file: a bare file name in images of ours. */
  readonly backingFile: string | null;
  readonly backingFormat: string | null;
  /** Bytes. */
  readonly virtualBytes: number;
}

const magic = 0x514649fb;
const clusterBits = 16;
const clusterSize = 1 << clusterBits;
const headerLength = 112;
const extension = { end: 0, backingFormat: 0xe2792aca, featureNames: 0x6803f857, bitmaps: 0x23852875 } as const;
/** Dirty (lazy refcounts), compression type and extended L2 are harmless; corrupt and external data files are not. */
const refusedFeatures = 0b00110n;

/** @throws CaissonError `internal` when the file is not a qcow2 image of the kind that this platform makes */
export async function readHeader(path: string): Promise<ImageHeader> {
  const file = await open(path, "r");
  const bytes = Buffer.alloc(clusterSize);
  let length: number;
  try {
    ({ bytesRead: length } = await file.read(bytes, 0, clusterSize, 0));
  } finally {
    await file.close();
  }
  return parseHeader(bytes.subarray(0, length), path);
}

/** @param name for the error message */
export function parseHeader(bytes: Buffer, name: string): ImageHeader {
  const refuse = (why: string) => new CaissonError("internal", `${name} is not a disk image of this platform: ${why}.`);
  if (bytes.length < headerLength || bytes.readUInt32BE(0) !== magic || bytes.readUInt32BE(4) !== 3)
    throw refuse("no qcow2 header of version 3");
  if (bytes.readUInt32BE(32) !== 0) throw refuse("it is encrypted");
  const incompatible = bytes.readBigUInt64BE(72);
  if (incompatible >> 5n !== 0n || (incompatible & refusedFeatures) !== 0n)
    throw refuse(`incompatible features ${incompatible.toString(2)}`);
  const backingOffset = bytes.readBigUInt64BE(8);
  const backingSize = bytes.readUInt32BE(16);
  const end = bytes.readUInt32BE(100);
  if (
    end < headerLength - 8 ||
    end > 1024 ||
    backingSize > 1023 ||
    backingOffset + BigInt(backingSize) > BigInt(bytes.length)
  )
    throw refuse("fields out of range");
  const virtualBytes = Number(bytes.readBigUInt64BE(24));
  if (!Number.isSafeInteger(virtualBytes)) throw refuse("size out of range");
  let backingFormat: string | null = null;
  for (let at = end; ;) {
    if (at + 8 > bytes.length) throw refuse("unterminated header extensions");
    const type = bytes.readUInt32BE(at);
    const length = bytes.readUInt32BE(at + 4);
    if (type === extension.end) break;
    if (at + 8 + length > bytes.length) throw refuse("unterminated header extensions");
    if (type === extension.backingFormat) backingFormat = bytes.toString("latin1", at + 8, at + 8 + length);
    else if (type !== extension.featureNames && type !== extension.bitmaps)
      throw refuse(`header extension ${type.toString(16)}`);
    at += 8 + Math.ceil(length / 8) * 8;
  }
  const backingFile =
    backingSize === 0 ? null : bytes.toString("utf8", Number(backingOffset), Number(backingOffset) + backingSize);
  return { backingFile, backingFormat, virtualBytes };
}

/**
 * The bytes of an empty qcow2 image over `backingFile`: header, reference count table, one block of it, and the L1 table, a
 * cluster each. All four fit while the L1 table fits a cluster: up to 4 TiB.
 */
export function emptyOverlay(backingFile: string, virtualBytes: number): Buffer {
  const name = Buffer.from(backingFile, "utf8");
  const l1Entries = Math.ceil(virtualBytes / (clusterSize * (clusterSize / 8)));
  if (name.length === 0 || name.length > 1023 || l1Entries > clusterSize / 8 || virtualBytes % 512 !== 0) {
    throw new CaissonError(
      "invalid_argument",
      `An overlay of ${virtualBytes} bytes over "${backingFile.slice(0, 200)}" cannot be made.`,
    );
  }
  const image = Buffer.alloc(4 * clusterSize);
  const nameOffset = headerLength + 16 + 8;
  image.writeUInt32BE(magic, 0);
  image.writeUInt32BE(3, 4);
  image.writeBigUInt64BE(BigInt(nameOffset), 8);
  image.writeUInt32BE(name.length, 16);
  image.writeUInt32BE(clusterBits, 20);
  image.writeBigUInt64BE(BigInt(virtualBytes), 24);
  image.writeUInt32BE(l1Entries, 36);
  image.writeBigUInt64BE(BigInt(3 * clusterSize), 40);
  image.writeBigUInt64BE(BigInt(clusterSize), 48); // reference count table
  image.writeUInt32BE(1, 56); // clusters of that table
  image.writeUInt32BE(4, 96); // 16 bits for each reference count
  image.writeUInt32BE(headerLength, 100);
  image.writeUInt32BE(extension.backingFormat, headerLength);
  image.writeUInt32BE(5, headerLength + 4);
  image.write("qcow2", headerLength + 8, "latin1");
  name.copy(image, nameOffset);
  image.writeBigUInt64BE(BigInt(2 * clusterSize), clusterSize);
  for (let cluster = 0; cluster < 4; cluster++) image.writeUInt16BE(1, 2 * clusterSize + 2 * cluster);
  return image;
}

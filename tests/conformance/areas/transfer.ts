/** Rows 74 and 75: copies between here and the sandbox. */
import assert from "node:assert/strict";
import { lstat, mkdir, mkdtemp, readFile, readlink, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Scenario } from "../runner/scenario.ts";

async function local<T>(use: (directory: string) => Promise<T>): Promise<T> {
  const directory = await mkdtemp(join(tmpdir(), "caisson-transfer-"));
  try {
    return await use(directory);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

const data = new Uint8Array(200_000).map((_, index) => (index * 13) % 251);

export const scenarios: readonly Scenario[] = [
  {
    row: 74,
    title: "upload: a file, and a tree with a link",
    run: ({ sandbox, directory }) =>
      local(async (here) => {
        await writeFile(join(here, "one"), data);
        await sandbox.fs.upload(join(here, "one"), `${directory}/one`);
        assert.deepEqual(await sandbox.fs.readFile(`${directory}/one`), data);
        await mkdir(join(here, "tree/deep"), { recursive: true });
        await writeFile(join(here, "tree/deep/file"), "deep");
        await writeFile(join(here, "tree/empty"), "");
        await symlink("deep/file", join(here, "tree/link"));
        // The client puts the tree under the target by its own name.
        await sandbox.fs.upload(join(here, "tree"), directory);
        assert.equal(await sandbox.fs.readTextFile(`${directory}/tree/deep/file`), "deep");
        assert.equal((await sandbox.fs.stat(`${directory}/tree/empty`)).size, 0);
        assert.equal(await sandbox.fs.readLink(`${directory}/tree/link`), "deep/file");
      }),
  },
  {
    row: 75,
    title: "download: a file, and a tree with a link",
    run: ({ sandbox, directory }) =>
      local(async (here) => {
        await sandbox.fs.writeFile(`${directory}/one`, data);
        await sandbox.fs.download(`${directory}/one`, join(here, "one"));
        assert.deepEqual(new Uint8Array(await readFile(join(here, "one"))), data);
        await sandbox.sh`mkdir -p ${directory}/tree/deep && cd ${directory}/tree && echo deep > deep/file && touch empty && ln -s deep/file link`;
        await sandbox.fs.download(`${directory}/tree`, here);
        assert.equal(await readFile(join(here, "tree/deep/file"), "utf8"), "deep\n");
        assert.equal((await lstat(join(here, "tree/empty"))).size, 0);
        assert.equal(await readlink(join(here, "tree/link")), "deep/file");
      }),
  },
];

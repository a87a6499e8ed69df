/** Rows 64 and 65: trees and patterns. */
import assert from "node:assert/strict";
import type { Sandbox } from "@deno/sandbox";
import { collect, rejection, type Scenario } from "../runner/scenario.ts";

async function tree(sandbox: Sandbox, directory: string): Promise<void> {
  await sandbox.sh`cd ${directory} && mkdir -p src/lib .hidden && touch a.ts b.js src/c.ts src/D.TS src/lib/e.ts .hidden/f && ln -s src link`;
}

export const scenarios: readonly Scenario[] = [
  {
    row: 64,
    title: "walk: everything, root first, links not followed",
    async run({ sandbox, directory }) {
      await tree(sandbox, directory);
      const entries = await collect(sandbox.fs.walk(directory));
      assert.equal(entries[0]?.path, directory);
      assert.deepEqual(entries.map((entry) => entry.path.slice(directory.length)).toSorted(), [
        "",
        "/.hidden",
        "/.hidden/f",
        "/a.ts",
        "/b.js",
        "/link",
        "/src",
        "/src/D.TS",
        "/src/c.ts",
        "/src/lib",
        "/src/lib/e.ts",
      ]);
      assert.deepEqual(
        entries.find((entry) => entry.name === "link"),
        { path: `${directory}/link`, name: "link", isFile: false, isDirectory: false, isSymlink: true },
      );
    },
  },
  {
    row: 64,
    title: "walk: depth, kinds, extensions, match, skip, following links",
    async run({ sandbox, directory }) {
      await tree(sandbox, directory);
      const names = async (options: Parameters<typeof sandbox.fs.walk>[1]): Promise<string[]> =>
        (await collect(sandbox.fs.walk(directory, options)))
          .map((entry) => entry.path.slice(directory.length))
          .toSorted();
      assert.deepEqual(await names({ maxDepth: 1, includeFiles: false, includeSymlinks: false }), [
        "",
        "/.hidden",
        "/src",
      ]);
      assert.deepEqual(await names({ exts: ["ts"], includeDirs: false, includeSymlinks: false }), [
        "/a.ts",
        "/src/c.ts",
        "/src/lib/e.ts",
      ]);
      assert.deepEqual(await names({ match: [/\.TS$/i], includeDirs: false }), [
        "/a.ts",
        "/src/D.TS",
        "/src/c.ts",
        "/src/lib/e.ts",
      ]);
      assert.deepEqual(await names({ skip: [/src/, /hidden/], includeDirs: false, includeSymlinks: false }), [
        "/a.ts",
        "/b.js",
      ]);
      const followed = await names({ followSymlinks: true, canonicalize: false, includeDirs: false });
      assert.ok(followed.includes("/link/c.ts"), followed.join());
      assert.equal((await rejection(collect(sandbox.fs.walk(`${directory}/none`)))).constructor.name, "NotFound");
    },
  },
  {
    row: 64,
    title: "walk: a relative root keeps its form, and breaking off is clean",
    async run({ sandbox }) {
      await sandbox.sh`mkdir -p many && cd many && seq 1 3000 | xargs touch`;
      let seen = 0;
      for await (const entry of sandbox.fs.walk("many")) {
        assert.ok(entry.path === "many" || entry.path.startsWith("many/"), entry.path);
        if (++seen === 10) break;
      }
      assert.equal((await collect(sandbox.fs.walk("many"))).length, 3001);
    },
  },
  {
    row: 65,
    title: "glob: globstar, braces, extended, case, exclusion, order",
    async run({ sandbox, directory }) {
      await tree(sandbox, directory);
      const paths = async (
        glob: string,
        options: Parameters<typeof sandbox.fs.expandGlob>[1] = {},
      ): Promise<string[]> =>
        (await collect(sandbox.fs.expandGlob(glob, { root: directory, ...options }))).map((entry) =>
          entry.path.slice(directory.length),
        );
      assert.deepEqual(await paths("**/*.ts"), ["/a.ts", "/src/c.ts", "/src/lib/e.ts"]);
      assert.deepEqual(await paths("*.{ts,js}"), ["/a.ts", "/b.js"]);
      assert.deepEqual(await paths("src/*", { includeDirs: false }), ["/src/D.TS", "/src/c.ts"]);
      assert.deepEqual(await paths("src/*.ts", { caseInsensitive: true }), ["/src/D.TS", "/src/c.ts"]);
      assert.deepEqual(await paths("**/*.ts", { exclude: ["src/lib"] }), ["/a.ts", "/src/c.ts"]);
      assert.deepEqual(await paths("@(a|b).*"), ["/a.ts", "/b.js"]);
      assert.deepEqual(await paths("no-such/*.ts"), []);
      assert.deepEqual(await paths(`${directory}/a.ts`), ["/a.ts"]);
    },
  },
];

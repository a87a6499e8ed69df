/** A file system of fixed size for the home, so that it can be filled: ext4 in a file, mounted through a loop device. */
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export interface HomeDisk {
  readonly home: string;
  /** Whether it has a size of its own. False without root: then the home is an ordinary directory and cannot be filled. */
  readonly sized: boolean;
  /** Synchronous, for the end of the process. Nothing may use the home any more. */
  remove(): void;
}

const prefix = "csx-";

/** Homes of drivers that were killed: nobody removed them. */
export function abandonedHomes(): readonly { readonly base: string; readonly home: string }[] {
  return readdirSync(tmpdir())
    .filter((name) => {
      const pid = new RegExp(`^${prefix}(\\d+)-`).exec(name)?.[1];
      return pid !== undefined && !existsSync(`/proc/${pid}`);
    })
    .map((name) => ({ base: join(tmpdir(), name), home: join(tmpdir(), name, "h") }));
}

/** Unmounts what is mounted there and removes it. Nothing may use it any more. */
export function removeHome(base: string, home: string): void {
  try {
    // Lazily: a killed process may take a moment to let go, and then the kernel removes the loop device as well.
    if (existsSync(join(base, "disk"))) execFileSync("umount", ["--lazy", home], { stdio: "pipe" });
  } finally {
    rmSync(base, { recursive: true, force: true, maxRetries: 3 });
  }
}

/** @param bytes size of the file system; it takes space only for what is written */
export function createHomeDisk(bytes: number): HomeDisk {
  // Short, because unix sockets below it may not have a path of more than 107 bytes.
  const base = mkdtempSync(join(tmpdir(), `${prefix}${process.pid}-`));
  const home = join(base, "h");
  mkdirSync(home, { mode: 0o700 });
  const image = join(base, "disk");
  const remove = () => removeHome(base, home);
  if (process.getuid?.() !== 0) return { home, sized: false, remove };
  writeFileSync(image, "");
  truncateSync(image, bytes);
  try {
    execFileSync("mkfs.ext4", ["-q", "-m", "0", "-E", "lazy_itable_init=1,lazy_journal_init=1", image], {
      stdio: "pipe",
    });
    execFileSync("mount", ["-o", "loop", image, home], { stdio: "pipe" });
    return { home, sized: true, remove };
  } catch {
    rmSync(image, { force: true });
    return { home, sized: false, remove };
  }
}

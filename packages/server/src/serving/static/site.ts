/** Which file answers a path of a static site. Pure. */
import type { TreeEntry } from "@caisson/protocol";

export type SiteFile = Extract<TreeEntry, { kind: "file" }>;

export type Found =
  | { readonly kind: "file"; readonly status: 200 | 404; readonly file: SiteFile }
  /** To the path with a final `/`, so that relative links work. */
  | { readonly kind: "redirect"; readonly to: string }
  | { readonly kind: "none" };

/** Symbolic links that are followed for one path. */
const mostLinks = 16;

export class Site {
  readonly #entries: ReadonlyMap<string, TreeEntry>;
  readonly #root: string;
  readonly #spa: boolean;

  /** @param root directory of the files, relative to the app's; `""`: all files @param spa serves `index.html` for what has no file */
  constructor(tree: readonly TreeEntry[], root: string, spa: boolean) {
    this.#entries = new Map(tree.map((entry) => [entry.path, entry]));
    this.#root = root;
    this.#spa = spa;
  }

  /** @param path of a URL, without query */
  find(path: string): Found {
    const names = decode(path);
    if (names === undefined) return this.#missing();
    const name = names.join("/");
    const entry = this.#entry(name);
    if (entry?.kind === "file" && !path.endsWith("/")) return { kind: "file", status: 200, file: entry };
    if (entry?.kind === "directory" || name === "") {
      const index = this.#entry(name === "" ? "index.html" : `${name}/index.html`);
      if (index?.kind === "file")
        // `//host` would lead to another host.
        return path.endsWith("/")
          ? { kind: "file", status: 200, file: index }
          : { kind: "redirect", to: `${path.replace(/^\/+/, "/")}/` };
    }
    const page = name === "" ? undefined : this.#entry(`${name}.html`);
    if (page?.kind === "file" && !path.endsWith("/")) return { kind: "file", status: 200, file: page };
    return this.#missing();
  }

  #missing(): Found {
    const [name, status] = this.#spa ? (["index.html", 200] as const) : (["404.html", 404] as const);
    const file = this.#entry(name);
    return file?.kind === "file" ? { kind: "file", status, file } : { kind: "none" };
  }

  /** Follows symbolic links that stay within the app. */
  #entry(name: string): TreeEntry | undefined {
    // The next name is the last one.
    const names = `${this.#root}/${name}`.split("/").toReversed();
    let path: string[] = [];
    let links = 0;
    for (let part = names.pop(); part !== undefined; part = names.pop()) {
      if (part === "" || part === ".") continue;
      if (part === "..") {
        if (path.pop() === undefined) return undefined;
        continue;
      }
      const next = [...path, part];
      const entry = this.#entries.get(next.join("/"));
      // Every parent is an entry: a long path that does not exist ends here.
      if (entry === undefined) return undefined;
      if (entry.kind !== "symlink") path = next;
      else if (entry.target.startsWith("/") || ++links > mostLinks) return undefined;
      else names.push(...entry.target.split("/").toReversed());
    }
    return this.#entries.get(path.join("/"));
  }
}

/** @returns undefined for what cannot be a path of a file */
function decode(path: string): string[] | undefined {
  let decoded: string;
  try {
    decoded = decodeURIComponent(path);
  } catch {
    return undefined;
  }
  const names = decoded.split("/").filter((name) => name !== "" && name !== ".");
  return decoded.includes("\0") || names.includes("..") ? undefined : names;
}

/** Which methods a path has: for the answer to a request with another one (RFC 9110, 15.5.6). */

interface Route {
  readonly method: string;
  /** As Hono writes it: `/a/:id`. */
  readonly path: string;
}

/** @returns for a path the methods of its routes, in order; none when there is no such path */
export function allowedMethods(routes: readonly Route[]): (path: string) => readonly string[] {
  const patterns = routes
    // Middlewares are for all methods.
    .filter(({ method }) => method !== "ALL")
    .map(({ method, path }) => ({ method, pattern: patternOf(path) }));
  return (path) => {
    const found = new Set(patterns.filter(({ pattern }) => pattern.test(path)).map(({ method }) => method));
    // Hono answers HEAD as GET without a body.
    if (found.has("GET")) found.add("HEAD");
    return [...found].sort();
  };
}

function patternOf(path: string): RegExp {
  const parts = path.split("/").map((part) => {
    const [, name, inner] = /^:([^{?]+)(?:\{(.+)\})?\??$/.exec(part) ?? [];
    if (name !== undefined) return inner ?? "[^/]+";
    return part.replaceAll(/[.*+?^${}()|[\]\\]/g, "\\$&");
  });
  return new RegExp(`^${parts.join("/")}$`);
}

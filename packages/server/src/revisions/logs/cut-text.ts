const marker = "… (cut)";

/** Text as logs keep it: without NUL, which PostgreSQL does not store, and not longer than so many bytes of UTF-8. */
export function cutText(text: string, bytes: number): string {
  // A character has at least one byte.
  const clean = text.slice(0, bytes).replaceAll("\0", "").toWellFormed();
  if (text.length <= bytes && Buffer.byteLength(clean) <= bytes) return clean;
  const cut = Buffer.from(clean).subarray(0, Math.max(0, bytes - Buffer.byteLength(marker)));
  return new TextDecoder().decode(cut, { stream: true }) + marker;
}

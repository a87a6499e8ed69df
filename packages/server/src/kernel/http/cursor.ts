/** Cursors of lists that are ordered by creation, newest first. */
import { CaissonError } from "@caisson/protocol";

export interface Position {
  readonly createdAt: number;
  readonly id: string;
}

export function encodeCursor({ created_at, id }: { created_at: number; id: string }): string {
  return Buffer.from(`${created_at} ${id}`).toString("base64url");
}

/** @throws CaissonError `invalid_argument` */
export function decodeCursor(cursor: string): Position {
  const [, createdAt, id = ""] =
    /^(\d{1,15}) ([\w-]{1,64})$/.exec(Buffer.from(cursor, "base64url").toString("utf8")) ?? [];
  if (createdAt === undefined) throw foreignCursor();
  return { createdAt: Number(createdAt), id };
}

export function foreignCursor(): CaissonError {
  return new CaissonError("invalid_argument", "This server did not issue this cursor. Use the one in the Link header.");
}

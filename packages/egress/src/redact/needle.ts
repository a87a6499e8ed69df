/** What is searched for, and where it was found. */
export interface Needle<Tag> {
  readonly bytes: Buffer;
  readonly tag: Tag;
}

export interface Found<Tag> {
  readonly start: number;
  readonly needle: Needle<Tag>;
}

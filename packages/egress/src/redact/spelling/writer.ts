/** Writes a text in one spelling. */
export type Writer = (text: string) => string;

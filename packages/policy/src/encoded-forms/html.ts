/** Character references of HTML and XML: every library has its own set of special characters, and its own way to write each. */
import { byCharacter, type Writer } from "./writer.ts";

type References = Readonly<Record<string, string>>;

const tags: References = { "&": "&amp;", "<": "&lt;", ">": "&gt;" };
const quoted: References = { ...tags, '"': "&quot;" };

const profiles: readonly References[] = [
  // Text, and attributes as browsers write them.
  tags,
  quoted,
  { "&": "&amp;", '"': "&quot;" },
  { "&": "&amp;", "<": "&lt;" },
  { "&": "&amp;", "<": "&lt;", '"': "&quot;" },
  // Lodash, Rails, Ruby; PHP; XML.
  { ...quoted, "'": "&#39;" },
  { ...quoted, "'": "&#039;" },
  { ...quoted, "'": "&apos;" },
  // Python.
  { ...quoted, "'": "&#x27;" },
  // Jinja, Go's `EscapeString`; Go's templates.
  { ...tags, '"': "&#34;", "'": "&#39;" },
  { ...tags, '"': "&#34;", "'": "&#39;", "+": "&#43;" },
  // Underscore, Handlebars, Mustache, React on the server.
  { ...quoted, "'": "&#x27;", "`": "&#x60;" },
  { ...quoted, "'": "&#x27;", "`": "&#x60;", "=": "&#x3D;" },
  { ...quoted, "'": "&#39;", "/": "&#x2F;", "`": "&#x60;", "=": "&#x3D;" },
  { ...quoted, "'": "&#x27;", "/": "&#x2F;" },
  { ...quoted, "'": "&#39;", "`": "&#96;" },
  // .NET.
  { ...quoted, "'": "&#x27;", "+": "&#x2B;", "`": "&#x60;" },
];

const decimal = (char: string): string => `&#${char.codePointAt(0)};`;
const hexLower = (char: string): string => `&#x${char.codePointAt(0)!.toString(16)};`;
const hexUpper = (char: string): string => `&#x${char.codePointAt(0)!.toString(16).toUpperCase()};`;
const asItIs = (char: string): string => char;

const html = (references: References, beyondAscii: (char: string) => string): Writer =>
  byCharacter((char) => references[char] ?? (char > "\x7f" ? beyondAscii(char) : char));

export const htmlWriters: readonly Writer[] = [
  ...profiles.flatMap((references) =>
    [asItIs, decimal, hexLower, hexUpper].map((beyondAscii) => html(references, beyondAscii)),
  ),
  // By number: the special characters that matter, all but letters, digits and a few others (Laminas, OWASP for attributes), every character.
  ...[decimal, hexLower, hexUpper].flatMap((write) =>
    [/[&<>"']/, /[^A-Za-z0-9,.\-_]/, /[^]/].map((which) =>
      byCharacter((char) => (which.test(char) ? write(char) : char)),
    ),
  ),
];

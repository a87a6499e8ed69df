/** Writes a text in one encoded form. */
export type Writer = (text: string) => string;

/** Byte by byte of UTF-8. The form of every byte is computed once, because every secret is written in some hundred forms. */
export function byByte(write: (byte: number) => string): Writer {
  const written = Array.from({ length: 256 }, (_, byte) => write(byte));
  return (text) => {
    let result = "";
    for (const byte of Buffer.from(text)) result += written[byte];
    return result;
  };
}

/** Character by character; what ASCII becomes is worked out beforehand. */
export function byCharacter(write: (char: string) => string): Writer {
  const written = Array.from({ length: 128 }, (_, code) => write(String.fromCharCode(code)));
  return (text) => {
    let result = "";
    for (const char of text) result += char < "\x80" ? written[char.charCodeAt(0)] : write(char);
    return result;
  };
}

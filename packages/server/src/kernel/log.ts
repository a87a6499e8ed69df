/** Bounds what clients can make us log. */
import { pino, type Logger } from "pino";

/** Characters of one text of a client. */
const maxText = 200;
/** Characters of the message, and of the stack, of an error. An error can quote what a client sent. */
const maxError = 4000;

/** Cuts a text of a client, and escapes characters that could change how a terminal or a viewer shows the line. */
export function clip(text: unknown, most = maxText): string {
  const whole = String(text);
  const kept = whole
    .slice(0, most)
    .replaceAll(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu, (sign) => `\\u{${sign.codePointAt(0)!.toString(16)}}`);
  return whole.length > most ? `${kept}... (${whole.length} characters)` : kept;
}

/** A logger that clips what can come from a client, under whatever part of the server it is used. */
export function boundedLog(log: Logger): Logger {
  return log.child({}, { serializers: { path: clip, method: clip, host: clip, origin: clip, err: clipError } });
}

function clipError(error: unknown): unknown {
  if (!(error instanceof Error)) return clip(error);
  // Causes and further properties are in the stack, or nobody bounded them.
  const { type, message, stack, code } = pino.stdSerializers.err(error);
  const lines = (text: string) =>
    text.length > maxError ? `${text.slice(0, maxError)}... (${text.length} characters)` : text;
  return {
    type,
    message: clip(message, maxError),
    stack: lines(stack),
    ...(code !== undefined && { code: clip(code) }),
  };
}

/** How the demo looks in a terminal: chapters, steps with a clock, quoted output. Plain text where there is no terminal. */
import { styleText } from "node:util";

type Style = Parameters<typeof styleText>[0];
const paint = (style: Style, text: string): string => styleText(style, text, { stream: process.stdout });
const line = (text = ""): void => {
  process.stdout.write(`${text}\n`);
};

export function title(text: string, subtitle: string): void {
  line();
  line(`  ${paint(["bold", "cyan"], text)}`);
  line(`  ${paint("dim", subtitle)}`);
}

export function chapter(text: string): void {
  line();
  line(`  ${paint("bold", text)}`);
}

/** A step that takes time: a live clock while it runs (on a terminal), a tick and its duration after. */
export async function step<T>(text: string, action: () => Promise<T>): Promise<T> {
  const started = performance.now();
  const seconds = () => `${((performance.now() - started) / 1000).toFixed(1)} s`;
  const clock = process.stdout.isTTY
    ? setInterval(
        () => process.stdout.write(`\r  ${paint("yellow", "…")} ${text} ${paint("dim", seconds())}\x1b[K`),
        100,
      )
    : undefined;
  const end = (mark: string) => {
    clearInterval(clock);
    line(`${clock ? "\r" : ""}  ${mark} ${text} ${paint("dim", seconds())}${clock ? "\x1b[K" : ""}`);
  };
  try {
    const result = await action();
    end(paint("green", "✓"));
    return result;
  } catch (error) {
    end(paint("red", "✗"));
    throw error;
  }
}

/** What a program printed, quoted. */
export function quote(text: string): void {
  for (const row of text.trimEnd().split("\n")) line(`    ${paint("dim", "│")} ${row}`);
}

/** A command line or a program's purpose, before its output. */
export function prompt(text: string): void {
  line(`    ${paint("cyan", "$")} ${text}`);
}

/** One attempt and how it ended; `held` is what the reader hopes for. */
export function verdict(held: boolean, attempt: string, outcome: string): void {
  line(`  ${held ? paint("green", "✓ held  ") : paint("red", "✗ FAILED")} ${attempt}`);
  line(`             ${paint("dim", outcome)}`);
}

export function row(cells: readonly string[], widths: readonly number[]): void {
  line(
    `    ${cells
      .map((cell, at) => cell.padEnd(widths[at] ?? 0))
      .join("  ")
      .trimEnd()}`,
  );
}

export function note(text: string): void {
  line(`  ${paint("dim", text)}`);
}

/** Draws a run of the scaling: requests at once and instances above, latency of the requests below, over time. */
export interface Visit {
  /** Seconds from the beginning. */
  readonly at: number;
  readonly seconds: number;
}

export interface Sample {
  readonly at: number;
  readonly instances: number;
  /** In the host's process list. */
  readonly machines: number;
  readonly requests: number;
}

export interface Load {
  readonly requests: number;
  /** Seconds from the beginning. */
  readonly from: number;
  readonly to: number;
}

const [width, height] = [960, 640];
const [left, right, top, middle, bottom] = [70, 70, 50, 330, 590];
const panel = 240;

export function picture(samples: readonly Sample[], visits: readonly Visit[], load: Load): string {
  const end = Math.ceil(Math.max(...samples.map(({ at }) => at)));
  const x = (at: number) => left + (at / end) * (width - left - right);
  const most = Math.max(1, ...samples.map(({ instances, machines }) => Math.max(instances, machines)));
  const count = (value: number) => top + panel - (value / most) * panel;
  const share = (value: number) => top + panel - (value / load.requests) * panel;
  // Logarithmic, from 10 ms to 100 s.
  const latency = (seconds: number) => bottom - (Math.log10(Math.min(100, Math.max(0.01, seconds)) / 0.01) / 4) * panel;
  const points = (value: (sample: Sample) => number) => {
    const out: string[] = [];
    for (const [i, sample] of samples.entries()) {
      const before = samples[i - 1];
      if (before !== undefined) out.push(`${x(sample.at).toFixed(1)},${value(before).toFixed(1)}`);
      out.push(`${x(sample.at).toFixed(1)},${value(sample).toFixed(1)}`);
    }
    return out.join(" ");
  };
  const line = (at: string, colour: string, dash = "") =>
    `<polyline points="${at}" fill="none" stroke="${colour}" stroke-width="2"${dash === "" ? "" : ` stroke-dasharray="${dash}"`}/>`;
  const label = (atX: number, atY: number, words: string, anchor = "middle", colour = "#333") =>
    `<text x="${atX.toFixed(1)}" y="${atY.toFixed(1)}" text-anchor="${anchor}" fill="${colour}">${words}</text>`;
  const grid = (y: number) =>
    `<line x1="${left}" y1="${y.toFixed(1)}" x2="${width - right}" y2="${y.toFixed(1)}" stroke="#ddd"/>`;
  const parts: string[] = [];
  for (let value = 0; value <= most; value++)
    parts.push(grid(count(value)), label(left - 8, count(value) + 4, String(value), "end", "#b03030"));
  for (const part of [0, 0.5, 1])
    parts.push(
      label(width - right + 8, share(part * load.requests) + 4, String(part * load.requests), "start", "#3060b0"),
    );
  for (const [seconds, words] of [
    [0.01, "10 ms"],
    [0.1, "100 ms"],
    [1, "1 s"],
    [10, "10 s"],
    [100, "100 s"],
  ] as const)
    parts.push(grid(latency(seconds)), label(left - 8, latency(seconds) + 4, words, "end"));
  const step = Math.max(5, Math.ceil(end / 12 / 5) * 5);
  for (let at = 0; at <= end; at += step) parts.push(label(x(at), bottom + 20, `${at} s`));
  for (const { at, seconds } of thinned(visits))
    parts.push(
      `<circle cx="${x(at + seconds).toFixed(1)}" cy="${latency(seconds).toFixed(1)}" r="1.2" fill="#777" fill-opacity="0.35"/>`,
    );
  parts.push(
    line(
      points(({ requests }) => share(requests)),
      "#3060b0",
    ),
    line(
      points(({ machines }) => count(machines)),
      "#e0a0a0",
      "4 3",
    ),
    line(
      points(({ instances }) => count(instances)),
      "#b03030",
    ),
    line(quantileLine(visits, 0.5, x, latency), "#207020"),
    line(quantileLine(visits, 0.99, x, latency), "#d08000"),
    label(left, 24, "instances (red), machines in the process list (dashed), requests at once (blue)", "start"),
    label(
      left,
      middle + 6,
      "seconds of a request when it ends: each (grey), p50 (green) and p99 (orange) of each second",
      "start",
    ),
  );
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" font-family="sans-serif" font-size="13">`,
    `<rect width="${width}" height="${height}" fill="white"/>`,
    ...parts,
    "</svg>",
    "",
  ].join("\n");
}

/** At most 4000, spread evenly. */
function thinned<T>(all: readonly T[]): T[] {
  const each = Math.max(1, Math.ceil(all.length / 4000));
  return all.filter((_, i) => i % each === 0);
}

function quantileLine(
  visits: readonly Visit[],
  part: number,
  x: (at: number) => number,
  y: (seconds: number) => number,
): string {
  const bySecond = new Map<number, number[]>();
  for (const { at, seconds } of visits) {
    const second = Math.floor(at + seconds);
    bySecond.set(second, [...(bySecond.get(second) ?? []), seconds]);
  }
  return [...bySecond]
    .toSorted(([a], [b]) => a - b)
    .map(([second, all]) => {
      const sorted = all.toSorted((a, b) => a - b);
      const value = sorted[Math.min(sorted.length - 1, Math.floor(part * sorted.length))]!;
      return `${x(second + 0.5).toFixed(1)},${y(value).toFixed(1)}`;
    })
    .join(" ");
}

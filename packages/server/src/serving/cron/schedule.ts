/** When cron jobs run: five fields, in UTC, days of the week from 1 (Sunday) to 7, as Deno has them. */
import { Cron } from "croner";

/** Highest values of the fields. */
const highest = [59, 23, 31, 12, 7];
/** Also names of months and days, and `L`, `W` and `#`. */
const fieldPattern = /^[0-9A-Za-z*,/#-]{1,200}$/;

/** @returns undefined when it is not a schedule, or has no time any more */
export function nextTime(schedule: string, after: number): number | undefined {
  const fields = schedule.trim().split(/\s+/);
  if (fields.length !== highest.length || !fields.every((field) => fieldPattern.test(field))) return undefined;
  // "5/10": from 5 on, each tenth.
  const whole = fields.map((field, i) => field.replaceAll(/(^|,)(\d+)\//g, `$1$2-${highest[i]}/`)).join(" ");
  try {
    const cron = new Cron(whole, { paused: true, timezone: "UTC", alternativeWeekdays: true, mode: "5-part" });
    return cron.nextRun(new Date(after))?.getTime();
  } catch {
    return undefined;
  }
}

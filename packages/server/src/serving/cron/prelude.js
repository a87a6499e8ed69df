/**
 * Runs in the process of a deployed Deno program, before the program: `Deno.cron` registers a handler, and the platform runs it through a
 * socket. Deno's own would run it in each instance, and never in one that sleeps.
 */
/* global Deno */
const socket = "SOCKET";
const mostJobs = 100;
const longestMessage = 1000;
/** By name. */
const jobs = new Map();
const running = new Set();
const { serve } = Deno;
let listening = false;

Object.defineProperty(Deno, "cron", { value: cron, configurable: true, enumerable: true, writable: true });

function cron(name, schedule, first, second) {
  const [options, handler] = typeof first === "function" ? [{}, first] : [first ?? {}, second];
  if (typeof name !== "string" || !/^[\w\s-]{1,64}$/.test(name))
    throw new TypeError("The name of a cron job must have 1 to 64 letters, digits, spaces, hyphens and underscores.");
  if (typeof handler !== "function") throw new TypeError(`The cron job ${name} has no handler.`);
  if (schedule === undefined) throw new TypeError(`The cron job ${name} has no schedule.`);
  if (jobs.has(name)) throw new TypeError(`There is a cron job with the name ${name} already.`);
  if (jobs.size >= mostJobs) throw new TypeError(`A program can have ${mostJobs} cron jobs.`);
  const { backoffSchedule, signal } = options;
  jobs.set(name, { name, schedule: text(schedule), backoffSchedule, handler });
  if (!listening) listen();
  return new Promise((resolve) => {
    const remove = () => {
      jobs.delete(name);
      resolve();
    };
    if (signal?.aborted) remove();
    else signal?.addEventListener("abort", remove, { once: true });
  });
}

/** The object form of a schedule as five fields. What is left out before the first given field is its lowest value. */
function text(schedule) {
  if (typeof schedule === "string") return schedule;
  const { month, dayOfMonth, dayOfWeek } = schedule;
  let { minute, hour } = schedule;
  let day = dayOfMonth;
  if (minute === undefined) {
    if (hour !== undefined) minute = 0;
    else if (day !== undefined || dayOfWeek !== undefined) minute = hour = 0;
    else if (month !== undefined) [minute, hour, day] = [0, 0, 1];
  }
  return [minute, hour, day, month, dayOfWeek].map(field).join(" ");
}

function field(value) {
  if (value === undefined) return "*";
  if (typeof value === "number") return String(value);
  const { exact, start, end, every } = value;
  if (exact !== undefined) return [exact].flat().join(",");
  if (start !== undefined && end !== undefined)
    return every === undefined ? `${start}-${end}` : `${start}-${end}/${every}`;
  if (start !== undefined) return `${start}/${every ?? 1}`;
  if (every !== undefined && end === undefined) return `*/${every}`;
  throw new TypeError(`Not a schedule: ${JSON.stringify(value)}`);
}

/** Does not keep the program alive. */
function listen() {
  listening = true;
  serve({ path: socket, onListen() {} }, answer).unref();
}

async function answer(request) {
  if (request.method === "GET")
    return Response.json(
      [...jobs.values()].map(({ name, schedule, backoffSchedule }) => ({ name, schedule, backoffSchedule })),
    );
  const name = await request.json();
  const job = jobs.get(name);
  if (job === undefined) return failure("The program has no such cron job any more.");
  if (running.has(name)) return failure("It still runs.");
  running.add(name);
  try {
    await job.handler();
    return Response.json({ ok: true });
  } catch (error) {
    console.error(`Exception in cron handler ${name}`, error);
    return failure(String(error?.message ?? error));
  } finally {
    running.delete(name);
  }
}

function failure(message) {
  return Response.json({ ok: false, message: message.slice(0, longestMessage) });
}

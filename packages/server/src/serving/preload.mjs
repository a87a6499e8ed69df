/**
 * Runs in every instance before the program of the app: each line of `console` begins with a mark that names its level and the request
 * that it belongs to. `marks.ts` reads the marks. For Deno and for Node.js; a program that prints in other ways has no marks.
 */
import { AsyncLocalStorage } from "node:async_hooks";

const request = new AsyncLocalStorage();
const idsOf = (header) => /^00-([0-9a-f]{32}-[0-9a-f]{16})-/.exec(header ?? "")?.[1] ?? "";
const { Deno: deno, console } = globalThis;
let inspect = deno?.inspect;

if (deno === undefined) {
  inspect = (await import("node:util")).inspect;
  const { Server } = await import("node:http");
  const { emit } = Server.prototype;
  Server.prototype.emit = function (type, ...args) {
    if (type !== "request") return emit.call(this, type, ...args);
    return request.run(idsOf(args[0]?.headers?.traceparent), () => emit.call(this, type, ...args));
  };
} else {
  const { serve } = deno;
  const traced = (handler) =>
    function (received, ...more) {
      return request.run(idsOf(received.headers.get("traceparent")), () => handler.call(this, received, ...more));
    };
  deno.serve = (...args) => {
    const at = args.findLastIndex((arg) => typeof arg === "function");
    if (at !== -1) args[at] = traced(args[at]);
    else if (typeof args[0]?.handler === "function") args[0] = { ...args[0], handler: traced(args[0].handler) };
    return serve(...args);
  };
}

for (const level of ["debug", "log", "info", "warn", "error"]) {
  const print = console[level].bind(console);
  console[level] = (...args) => {
    // Formats are the runtime's business; such a line has no mark.
    if (args.length > 1 && typeof args[0] === "string" && args[0].includes("%")) {
      print(...args);
      return;
    }
    const mark = `\u001E${level}-${request.getStore() ?? ""}\u001F`;
    const text = args.map((arg) => (typeof arg === "string" ? arg : inspect(arg))).join(" ");
    print(mark + text.replaceAll("\n", `\n${mark}`));
  };
}

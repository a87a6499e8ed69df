/** A real browser at development servers behind the gateway, with a domain of the operator's: Deno, Node (Express, Vite with hot reload), Python. */
import assert from "node:assert/strict";
import { execFile, spawn, type ChildProcess } from "node:child_process";
import { access, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { promisify } from "node:util";
import { until } from "@caisson/testing";
import { chromium, type Page } from "playwright-core";
import { openPlace } from "./testing/programs.ts";

const run = promisify(execFile);
const executablePath = "/usr/bin/chromium";
const noBrowser = await access(executablePath).then(
  () => false,
  () => "needs Debian's package chromium",
);
/** A browser on a busy host. Milliseconds. */
const patience = 240_000;
const domain = "previews.test";
const children: ChildProcess[] = [];
after(() => children.forEach((child) => child.kill()));

const programs = { deno: 42_800, python: 42_801, express: 42_802, vite: 42_803 };

async function shows(page: Page, url: string, text: string): Promise<void> {
  await page.goto(url, { timeout: patience });
  await page.waitForSelector(`text=${text}`, { timeout: patience });
  assert.equal(await page.evaluate("performance.getEntriesByType('navigation')[0].nextHopProtocol"), "h2");
}

test("Chromium by HTTPS and HTTP/2", { skip: noBrowser, timeout: 1_200_000 }, async (t) => {
  const directory = await mkdtemp(join(tmpdir(), "caisson-dev-"));
  t.after(() => rm(directory, { recursive: true, force: true }));
  const write = (name: string, text: string) => writeFile(join(directory, name), text);
  await write("package.json", '{"private":true,"type":"module"}');
  try {
    await run("npm", ["install", "--no-audit", "--no-fund", "vite@8", "express@5"], {
      cwd: directory,
      timeout: patience,
    });
  } catch {
    return t.skip("needs npm's registry for Vite and Express");
  }
  const main = (text: string) =>
    `document.querySelector("#it").textContent = ${JSON.stringify(text)}; if (import.meta.hot) import.meta.hot.accept();`;
  const html = (text: string) => `new Response("<p>${text}</p>", { headers: { "content-type": "text/html" } })`;
  await mkdir(join(directory, "www"));
  await write("www/index.html", "<p>from Python</p>");
  await write("deno.js", `Deno.serve({ port: ${programs.deno} }, () => ${html("from Deno")});`);
  await write(
    "express.js",
    `import express from "express";
express().get("/", (_, answer) => answer.send("<p>from Express</p>")).listen(${programs.express}, "127.0.0.1");`,
  );
  await write("index.html", '<p id="it"></p><script type="module" src="/main.js"></script>');
  await write("main.js", main("from Vite"));
  const start = (command: string, args: string[], env: Record<string, string> = {}) => {
    const child = spawn(command, args, { cwd: directory, stdio: "ignore", env: { ...process.env, ...env } });
    child.on("error", () => undefined);
    children.push(child);
    return child;
  };
  start("deno", ["run", "-A", "deno.js"]);
  start("python3", ["-m", "http.server", String(programs.python), "-b", "127.0.0.1", "-d", "www"]);
  start(process.execPath, ["express.js"]);
  // As sandboxes have it; without it Vite refuses this hostname.
  const allowed = { __VITE_ADDITIONAL_SERVER_ALLOWED_HOSTS: `.${domain}` };
  const viteArgs = ["node_modules/vite/bin/vite.js", "--host", "127.0.0.1", "--port", String(programs.vite)];
  let vite = start(process.execPath, viteArgs);
  for (const port of Object.values(programs)) await until(patience, `port ${port}`, () => listens(port));
  const place = await openPlace({ programs, config: { domain } });
  t.after(() => place.close());
  const urlOf = (name: string) => `https://${name}.${domain}:${place.port}/`;
  const args = [
    `--host-resolver-rules=MAP *.${domain} 127.0.0.1`,
    ...(process.getuid?.() === 0 ? ["--no-sandbox"] : []),
  ];
  const browser = await chromium.launch({ executablePath, args });
  t.after(() => browser.close());
  const page = await (await browser.newContext({ ignoreHTTPSErrors: true })).newPage();
  await shows(page, urlOf("deno"), "from Deno");
  await shows(page, urlOf("python"), "from Python");
  await shows(page, urlOf("express"), "from Express");
  assert.equal((await page.goto(urlOf("vite")))?.status(), 403, "Vite answered any host, so this shows nothing");
  vite.kill();
  await until(patience, "the end of Vite", async () =>
    (await listens(programs.vite)) === undefined ? true : undefined,
  );
  // The gateway's page loads itself again until the program listens.
  assert.equal((await page.goto(urlOf("vite")))?.status(), 502);
  assert.match(await page.innerText("main"), /Nothing listens/);
  vite = start(process.execPath, viteArgs, allowed);
  await page.waitForSelector("text=from Vite", { timeout: patience });
  await page.evaluate("globalThis.before = 'kept'");
  await write("main.js", main("changed while it ran"));
  await page.waitForSelector("text=changed while it ran", { timeout: patience });
  assert.equal(await page.evaluate("globalThis.before"), "kept", "the page was loaded again instead");
});

/** For `until`. */
function listens(port: number): Promise<true | undefined> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    socket.once("connect", () => (socket.destroy(), resolve(true)));
    socket.once("error", () => resolve(undefined));
  });
}

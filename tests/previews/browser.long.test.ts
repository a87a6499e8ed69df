/** A real browser at development servers in a sandbox, behind a domain of the operator's: Deno, Node (Express, Vite with hot reload) and Python. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { promisify } from "node:util";
import { Sandbox } from "@deno/sandbox";
import { startPlatform, until, type PlatformProcess } from "@caisson/testing";
import { chromium, type Browser, type Page } from "playwright-core";
import { noBrowser } from "../vscode/workbench.ts";

const run = promisify(execFile);
/** An emulated processor on a busy host needs minutes. */
const patience = 400_000;
const domain = "previews.test";
let platform: PlatformProcess;
let sandbox: Sandbox;

before(async () => {
  platform = await startPlatform({ config: { gateway: { domain } } });
  Object.assign(process.env, platform.env);
  sandbox = await Sandbox.create({ allowNet: [] });
});
after(async () => {
  await sandbox?.kill();
  await platform?.stop(30_000);
});

/** npm's packages, put into the sandbox from outside: it has no network. */
async function install(): Promise<boolean> {
  const directory = await mkdtemp(join(tmpdir(), "caisson-dev-"));
  try {
    await writeFile(join(directory, "package.json"), '{"private":true,"type":"module"}');
    await run("npm", ["install", "--no-audit", "--no-fund", "vite@8", "express@5"], {
      cwd: directory,
      timeout: patience,
    });
    await run("tar", ["czf", "all.tar.gz", "package.json", "node_modules"], { cwd: directory });
    await sandbox.fs.writeFile("/tmp/all.tar.gz", await readFile(join(directory, "all.tar.gz")));
    await sandbox.sh`mkdir -p /home/app/dev && tar xzf /tmp/all.tar.gz -C /home/app/dev`;
    return true;
  } catch {
    return false;
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

/** A picture for people, where they asked for one. */
async function picture(page: Page, name: string): Promise<void> {
  const folder = process.env["CAISSON_TEST_SCREENSHOTS"];
  if (folder === undefined) return;
  await mkdir(folder, { recursive: true });
  await page.screenshot({ path: join(folder, `${name}.png`) });
}

async function shows(page: Page, url: string, text: string): Promise<void> {
  // Until the program listens, the gateway's page loads itself again.
  await page.goto(url, { timeout: patience, waitUntil: "commit" });
  await page.waitForSelector(`text=${text}`, { timeout: patience });
  const protocol = await page.evaluate("performance.getEntriesByType('navigation')[0].nextHopProtocol");
  assert.equal(protocol, "h2");
  await picture(page, text);
}

test(
  "Chromium at Deno, Python, Express, and Vite with hot reload",
  { skip: noBrowser, timeout: 1_500_000 },
  async (t) => {
    if (!(await install())) return t.skip("needs npm's registry for Vite and Express");
    const dev = "/home/app/dev";
    await sandbox.fs.writeTextFile(
      `${dev}/server.js`,
      `import express from "express";
    express().get("/", (_, answer) => answer.send("<p>from Express</p>")).listen(8002, "127.0.0.1");`,
    );
    await sandbox.fs.writeTextFile(
      `${dev}/index.html`,
      `<p id="it"></p><script type="module" src="/main.js"></script>`,
    );
    const main = (text: string) => `document.querySelector("#it").textContent = ${JSON.stringify(text)};
    globalThis.loads = (globalThis.loads ?? 0) + 1; if (import.meta.hot) import.meta.hot.accept();`;
    await sandbox.fs.writeTextFile(`${dev}/main.js`, main("from Vite"));
    await sandbox.sh`mkdir -p /tmp/www && echo '<p>from Python</p>' > /tmp/www/index.html`;
    const urls = await Promise.all([8000, 8001, 8002, 5173].map((port) => sandbox.exposeHttp({ port })));
    const [deno, python, express, vite] = urls as [string, string, string, string];
    const quiet = { stdout: "null", stderr: "null" } as const;
    await sandbox.deno.run({
      ...quiet,
      code: `Deno.serve({ port: 8000 }, () => new Response("<p>from Deno</p>", { headers: { "content-type": "text/html" } }));`,
    });
    const python3 = await sandbox.spawn("python3", { args: ["-m", "http.server", "8001", "-d", "/tmp/www"], ...quiet });
    const node = await sandbox.spawn("node", { args: ["server.js"], cwd: dev, ...quiet });
    const server = await sandbox.spawn("node", {
      args: ["node_modules/vite/bin/vite.js", "--port", "5173"],
      cwd: dev,
      ...quiet,
    });
    for (const child of [python3, node, server]) child.status.catch(() => undefined);
    const resolver = `--host-resolver-rules=MAP *.${domain} 127.0.0.1`;
    const args = [resolver, "--ignore-certificate-errors", ...(process.getuid?.() === 0 ? ["--no-sandbox"] : [])];
    const browser: Browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args });
    try {
      const page = await (await browser.newContext({ ignoreHTTPSErrors: true })).newPage();
      await shows(page, deno, "from Deno");
      await shows(page, python, "from Python");
      await shows(page, express, "from Express");
      await shows(page, vite, "from Vite");
      await page.evaluate("globalThis.before = 'kept'");
      await sandbox.fs.writeTextFile(`${dev}/main.js`, main("changed while it ran"));
      await page.waitForSelector("text=changed while it ran", { timeout: patience });
      assert.equal(await page.evaluate("globalThis.before"), "kept", "the page was loaded again instead");
      await picture(page, "changed while it ran");
      await sandbox.sh`pkill -f vite.js`;
      // While it ends it may still accept a connection.
      await until(100_000, "the page that says so", async () => {
        await page.goto(vite, { timeout: patience });
        return (await page.innerText("main").catch(() => "")).includes("Nothing listens on port 5173");
      });
      await picture(page, "nothing listens");
    } finally {
      await browser.close();
    }
  },
);

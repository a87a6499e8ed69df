/** A real browser in front of an editor. */
import { access, mkdir } from "node:fs/promises";
import { join } from "node:path";
import { chromium, type Browser, type Page } from "playwright-core";

const executablePath = "/usr/bin/chromium";
/** An emulated processor on a busy host needs minutes. */
const patience = 600_000;

/** The reason to skip a test, or false. */
export const noBrowser: string | false = await access(executablePath).then(
  () => false,
  () => "needs Debian's package chromium",
);

export class Workbench {
  readonly #browser: Browser;
  readonly #folder: string | undefined;
  readonly page: Page;

  private constructor(browser: Browser, page: Page) {
    this.#browser = browser;
    this.page = page;
    this.#folder = process.env["CAISSON_TEST_SCREENSHOTS"];
  }

  /** Resolves when the folder's files are shown. */
  static async open(url: string): Promise<Workbench> {
    // The certificate is this installation's own; without trust in it a page gets no service workers, which VS Code's views need.
    const args = ["--ignore-certificate-errors", ...(process.getuid?.() === 0 ? ["--no-sandbox"] : [])];
    const browser = await chromium.launch({ executablePath, args });
    const context = await browser.newContext({ ignoreHTTPSErrors: true, viewport: { width: 1280, height: 800 } });
    const page = await context.newPage();
    page.setDefaultTimeout(patience);
    const workbench = new Workbench(browser, page);
    // VS Code gives its extensions a minute to start, which an emulated processor on a busy host does not keep. A visitor would do the same.
    page.on("console", (message) => {
      if (/extension host took longer than/.test(message.text())) page.reload().catch(() => undefined);
    });
    try {
      await page.goto(url, { timeout: patience, waitUntil: "commit" });
      await page.waitForSelector(".explorer-folders-view .monaco-list-row");
    } catch (error) {
      await workbench.picture("not-loaded").catch(() => undefined);
      await workbench.close();
      throw error;
    }
    return workbench;
  }

  /** Opens a file of the folder's top level. */
  async openFile(name: string): Promise<void> {
    await this.page.click(`.explorer-folders-view .monaco-list-row[aria-label^="${name}"]`, { clickCount: 2 });
    await this.page.waitForSelector(`.tab.active[aria-label^="${name}"]`);
    await this.page.waitForSelector(".editor-instance .view-lines");
  }

  /** Adds a line at the end of the open file and saves it. */
  async addLine(text: string): Promise<void> {
    const { keyboard } = this.page;
    await this.page.click(".editor-instance .view-lines");
    await keyboard.press("Control+End");
    await keyboard.type(text, { delay: 30 });
    await keyboard.press("Control+s");
    await this.page.waitForSelector(".tab.active:not(.dirty)");
  }

  /** Opens a terminal and types a command. */
  async runInTerminal(command: string): Promise<void> {
    await this.page.keyboard.press("Control+Backquote");
    await this.page.waitForSelector(".terminal-wrapper.active .xterm-screen");
    await this.page.click(".terminal-wrapper.active .xterm-screen");
    await this.page.keyboard.type(`${command}\n`, { delay: 30 });
  }

  /** A picture for people, where they asked for one. */
  async picture(name: string): Promise<void> {
    if (this.#folder === undefined) return;
    await mkdir(this.#folder, { recursive: true });
    await this.page.screenshot({ path: join(this.#folder, `${name}.png`) });
  }

  async close(): Promise<void> {
    await this.#browser.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

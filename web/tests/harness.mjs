// A browser, a page in it, and the few things that every test does with it.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";
import { settings } from "../../tests/browser/chromium.mjs";

export const web = resolve(dirname(fileURLToPath(import.meta.url)), "..");
export const root = resolve(web, "..");
export const dist = join(web, "dist");
export const double = join(web, "tests/double");
export const out = join(web, "tests/out");

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/** three.js draws without a graphics card; a camera shows a test picture, and is allowed. */
const more = ["--enable-unsafe-swiftshader", "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"];

export const launch = () => chromium.launch(settings(more));

/** A browser window that is not private, with its profile in an empty folder. */
export const launchProfile = (folder) => chromium.launchPersistentContext(folder, settings(more));

/** A visitor with a browser of his own: empty storage, a record of every request and of every error on the console. */
export class Visitor {
  requests = [];
  errors = [];

  static async arrive(browser, origin, { query = "", allowed = [], before, ...options } = {}) {
    const visitor = new Visitor();
    visitor.origin = origin;
    visitor.allowed = [origin, ...allowed];
    visitor.context = await browser.newContext({ viewport: { width: 1280, height: 900 }, acceptDownloads: true, ...options });
    visitor.context.on("request", (request) => visitor.requests.push(request.url()));
    visitor.page = await visitor.context.newPage();
    visitor.page.setDefaultTimeout(20_000);
    visitor.page.on("pageerror", (error) => visitor.errors.push(error.message));
    if (before) await before(visitor);
    await visitor.page.goto(`${origin}/${query}`);
    return visitor;
  }

  /** Requests that went anywhere but to the page's origin and those allowed. */
  get strangers() {
    const local = /^(data|blob|about):/;
    return this.requests.filter((url) => !local.test(url) && !this.allowed.includes(new URL(url).origin));
  }

  async sample(name = "house", timeout = 20_000) {
    await this.page.getByRole("button", { name: `Sample: ${name}` }).click();
    await this.page.locator("#view-cutout").waitFor({ timeout });
  }

  /** Drops a file on the page. */
  async drop(content, name, type) {
    const dataTransfer = await this.page.evaluateHandle(([content, name, type]) => {
      const data = new DataTransfer();
      data.items.add(new File([Uint8Array.from(atob(content), (char) => char.charCodeAt(0))], name, { type }));
      return data;
    }, [content.toString("base64"), name, type]);
    await this.page.dispatchEvent("body", "drop", { dataTransfer });
  }

  async make(settings = {}) {
    for (const [id, value] of Object.entries(settings)) {
      if (id === "quality") await this.page.locator("#quality").selectOption(value);
      else await this.page.locator(`#${id}`).fill(String(value));
    }
    await this.page.locator("#make").click();
  }

  result(timeout = 30_000) {
    return this.page.locator("#view-result").waitFor({ timeout });
  }

  /** The notice that is shown, by its code. */
  notice(code, timeout = 20_000) {
    return this.page.locator(code ? `.notice[data-code="${code}"]` : ".notice").waitFor({ timeout });
  }

  async download(format) {
    const [file] = await Promise.all([this.page.waitForEvent("download"), this.page.locator(`[data-format="${format}"]`).click()]);
    return { name: file.suggestedFilename(), bytes: readFileSync(await file.path()) };
  }

  /** Draws a picture of the model and takes the file. */
  async drawn(kind, show = "texture") {
    await this.page.locator("#pictures-show").selectOption(show);
    const [file] = await Promise.all([this.page.waitForEvent("download"), this.page.locator(`[data-picture="${kind}"]`).click()]);
    return { name: file.suggestedFilename(), bytes: readFileSync(await file.path()) };
  }

  /** What Chromium's decoders find in a picture: its sizes, its frames, and the pixels' digest and number of colours of each. */
  look(bytes, type) {
    return this.page.evaluate(async ([base64, type]) => {
      const data = Uint8Array.from(atob(base64), (char) => char.charCodeAt(0));
      const decoder = new ImageDecoder({ data, type });
      await decoder.tracks.ready;
      await decoder.completed;
      const { frameCount, repetitionCount } = decoder.tracks.selectedTrack;
      const frames = [];
      for (let frameIndex = 0; frameIndex < frameCount; frameIndex += 1) {
        const { image } = await decoder.decode({ frameIndex });
        const { displayWidth: width, displayHeight: height, duration } = image;
        const context = new OffscreenCanvas(width, height).getContext("2d");
        context.drawImage(image, 0, 0);
        image.close();
        const { data: pixels } = context.getImageData(0, 0, width, height);
        const digest = [...new Uint8Array(await crypto.subtle.digest("SHA-256", pixels))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
        frames.push({ width, height, duration, digest, colours: new Set(new Uint32Array(pixels.buffer)).size });
      }
      return { frames, repeats: repetitionCount };
    }, [bytes.toString("base64"), type]);
  }

  /** Changes some bytes of a stored shard. */
  damage(shard) {
    return this.page.evaluate(async (name) => {
      const packs = await (await navigator.storage.getDirectory()).getDirectoryHandle("packs");
      for await (const folder of packs.values()) {
        const file = await folder.getFileHandle(name);
        const writable = await file.createWritable({ keepExistingData: true });
        await writable.write({ type: "write", position: 1000, data: new Uint8Array([1, 2, 3, 4]) });
        await writable.close();
      }
    }, `${shard.sha256}.bin`);
  }

  /** How often the test double's pipelines were compiled. */
  async warmed() {
    const counts = await Promise.all(this.page.workers().map((worker) => worker.evaluate(() => globalThis.warmed ?? 0)));
    return counts.reduce((sum, count) => sum + count, 0);
  }

  /** What axe calls serious or critical is a failure. */
  async accessible(state) {
    // A button on its way to another colour has none that could be judged.
    await this.page.evaluate(async () => {
      const ending = document.getAnimations().filter(({ effect }) => Number.isFinite(effect.getComputedTiming().endTime));
      await Promise.allSettled(ending.map(({ finished }) => finished));
    });
    await this.page.evaluate(axe);
    const { violations } = await this.page.evaluate(() => window.axe.run());
    const serious = violations.filter(({ impact }) => impact === "serious" || impact === "critical");
    const words = serious.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html.slice(0, 120)).join(" | ")}`);
    holds(serious.length === 0, `${state}: ${words.join("; ")}`);
  }

  async leave() {
    await this.context.close();
  }
}

/** Runs tests one after another; a failed one shows the page as it stood. */
export class Suite {
  passed = 0;
  failed = 0;

  async test(name, body) {
    const begun = performance.now();
    try {
      await body();
      this.passed += 1;
      console.log(`ok     ${name} (${((performance.now() - begun) / 1000).toFixed(1)} s)`);
    } catch (error) {
      this.failed += 1;
      console.log(`FAILED ${name}: ${error.stack ?? error}`);
    }
  }

  /** A test with a visitor, who leaves at its end; nothing foreign may have been asked for, and no error have gone unhandled. */
  async visit(name, browser, origin, options, body) {
    await this.test(name, async () => {
      const visitor = await Visitor.arrive(browser, origin, options);
      try {
        await body(visitor, visitor.page);
        if (visitor.strangers.length > 0) throw new Error(`asked strangers: ${visitor.strangers.join(", ")}`);
        if (visitor.errors.length > 0) throw new Error(`unhandled: ${visitor.errors.join("; ")}`);
      } catch (error) {
        const state = await visitor.page.evaluate(() => `${document.body?.dataset.state}: ${document.querySelector("#notices")?.innerText}`).catch(() => "gone");
        await visitor.page.screenshot({ path: join(out, "failed.png") }).catch(() => {});
        error.message += ` [page: ${state}]`;
        error.stack = `${error.message}\n${error.stack}`;
        throw error;
      } finally {
        await visitor.leave();
      }
    });
  }
}

export function equal(actual, expected, what) {
  if (actual !== expected) throw new Error(`${what}: expected ${JSON.stringify(expected)}, got ${JSON.stringify(actual)}`);
}

export function holds(condition, what) {
  if (!condition) throw new Error(what);
}

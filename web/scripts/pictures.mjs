// The pictures of docs/browser.md, taken of the built page: `npm run build && node scripts/pictures.mjs` (minutes without a
// graphics card). Look at them before committing them.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { dist, launch, root } from "../tests/harness.mjs";
import { servePage } from "../tests/servers.mjs";

const DESKTOP = { width: 1280, height: 860 };
const PHONE = { width: 360, height: 780 };
const LONG = 1_800_000;
const where = join(root, "docs/pictures");
const site = await servePage(dist);
const browser = await launch();
const page = await (await browser.newContext({ viewport: DESKTOP })).newPage();
page.setDefaultTimeout(LONG);
const cdp = await page.context().newCDPSession(page);
const phones = [];

/** Shows the page as a phone at night does, or as a desktop by day. */
async function as(phone) {
  await cdp.send("Emulation.setTouchEmulationEnabled", { enabled: phone, maxTouchPoints: 1 });
  await page.emulateMedia({ colorScheme: phone ? "dark" : "light" });
  await page.setViewportSize(phone ? PHONE : DESKTOP);
  await page.evaluate(() => scrollTo(0, 0));
  // The viewer draws itself anew.
  await page.waitForTimeout(1000);
}

async function phone() {
  await as(true);
  phones.push((await page.screenshot()).toString("base64"));
  await as(false);
}

/** Pictures side by side, as WebP. */
async function keep(name, pictures) {
  const sheet = await browser.newPage();
  const data = await sheet.evaluate(async (pictures) => {
    const images = await Promise.all(pictures.map(async (data) => createImageBitmap(await (await fetch(`data:image/png;base64,${data}`)).blob())));
    const gap = 16;
    const canvas = document.createElement("canvas");
    canvas.width = images.reduce((sum, { width }) => sum + width + gap, -gap);
    canvas.height = images[0].height;
    let left = 0;
    for (const image of images) {
      canvas.getContext("2d").drawImage(image, left, 0);
      left += image.width + gap;
    }
    return canvas.toDataURL("image/webp", 0.9).split(",")[1];
  }, pictures);
  writeFileSync(join(where, `${name}.webp`), Buffer.from(data, "base64"));
  await sheet.close();
}

const shoot = async (name) => keep(name, [(await page.screenshot()).toString("base64")]);

await page.goto(site.origin);
await page.locator("#weights-short", { hasText: "mini" }).waitFor();
await phone();
await page.getByRole("button", { name: "Sample: mug" }).click();
await page.locator("#view-cutout").waitFor();
await shoot("page-cutout");
await phone();
await page.locator("#quality").selectOption("draft");
await page.locator("#faces").fill("8000");
await page.locator("#steps").fill("6");
await page.locator("#make").click();
await page.locator("#preview-caption", { hasText: "splats" }).waitFor();
await page.locator('[data-stage="mesh"].now').waitFor();
await shoot("page-run");
await phone();
await page.locator("#view-result").waitFor();
await page.locator("#history-list li").waitFor();
await page.waitForTimeout(1000);
await shoot("page-result");
await phone();
await keep("page-phone", phones);
await browser.close();
site.close();

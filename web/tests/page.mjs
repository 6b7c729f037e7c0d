// The page in all its states, over the test double of the engine: quick, and about the page and the weights' store alone. What
// ends before an engine is needed (no WebGPU, no adapter, an insecure address) is tried on the page as it is built.
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import validator from "gltf-validator";
import { dist, double, equal, holds, launch, launchProfile, out, root } from "./harness.mjs";
import { servePacks, servePage } from "./servers.mjs";

const tiny = join(out, "tiny");
const photograph = join(root, "examples/photo-coffee.jpg");

export async function pageTests(suite) {
  const index = JSON.parse(readFileSync(join(tiny, "pack.json"), "utf8"));
  const site = await servePage(dist, { engine: double });
  const whole = await servePage(dist);
  const closed = await servePage(dist, { engine: double }, (path, body) => (/worker.*\.js$/.test(path) ? `(${withoutPrivateFiles})();\n${body}` : body));
  const packs = await servePacks({ tiny });
  const browser = await launch();
  const options = { query: `?pack=${packs.origin}/tiny/pack.json`, allowed: [packs.origin] };
  const visit = (name, body, more = {}, origin = site.origin) => {
    packs.log.length = 0;
    Object.assign(packs.behave, { cors: true, slow: 0, cut: 0, flip: 0, down: false });
    return suite.visit(name, browser, origin, { ...options, ...more }, body);
  };

  await visit("a dropped photograph becomes a model whose GLB the validator passes", async (visitor, page) => {
    await visitor.drop(readFileSync(photograph), "coffee.jpg", "image/jpeg");
    await page.locator("#view-cutout").waitFor();
    equal(await page.locator("#picture-name").innerText(), "coffee.jpg", "the picture's name");
    holds((await page.locator("#cutout-warnings li").count()) === 1, "the warning is shown");
    await visitor.make();
    await page.locator('[data-stage="structure"].now progress').waitFor();
    await page.locator("#preview-caption", { hasText: "splats" }).waitFor();
    await visitor.result();
    const glb = await visitor.download("glb");
    equal(glb.name, "coffee.glb", "the file's name");
    const report = await validator.validateBytes(new Uint8Array(glb.bytes));
    equal(report.issues.numErrors + report.issues.numWarnings, 0, "findings of the validator");
    const zip = (await visitor.download("obj")).bytes;
    equal(zip.subarray(0, 4).toString("latin1"), "PK\x03\x04", "the OBJ's zip");
    equal((await visitor.download("ply")).bytes.subarray(0, 3).toString(), "ply", "the PLY");
    holds((await page.locator("#health-warnings").textContent()).includes("Fewer than 100"), "the health report has its warning");
    equal(packs.log.length, index.shards.length, "each shard was fetched once");
  });

  await visit("pictures of a model are drawn and downloaded, a turn can be stopped, and an earlier model says why it has none", async (visitor, page) => {
    await visitor.sample();
    await visitor.make({ steps: 1 });
    await visitor.result();
    for (const [kind, show, name, type] of [["four-views", "texture", "house-views.png", "image/png"], ["turntable", "normals", "house-normals-turntable.webp", "image/webp"], ["four-views", "splats", "house-splats-views.png", "image/png"]]) {
      const file = await visitor.drawn(kind, show);
      equal(file.name, name, "the file's name");
      const { frames } = await visitor.look(file.bytes, type);
      holds(frames[0].width === 64 && frames[0].colours > 1, `${name} is blank: ${JSON.stringify(frames)}`);
    }
    await page.locator("#pictures-words", { hasText: "Drawn in" }).waitFor();
    await page.locator('[data-picture="turntable"]').click();
    await page.locator("#pictures-words", { hasText: "Drawing a whole turn" }).waitFor();
    holds(await page.locator('[data-picture="four-views"]').isDisabled(), "a second picture can be asked for meanwhile");
    await page.getByRole("button", { name: "Stop" }).click();
    await page.locator("#pictures-words", { hasText: "Stopped" }).waitFor();
    equal(await page.locator(".notice").count(), 0, "notices after a stop");
    // A new run ends the drawing, and pictures of its model can be had.
    await page.locator('[data-picture="turntable"]').click();
    await visitor.make();
    await visitor.result();
    equal((await visitor.drawn("four-views")).name, "house-views.png", "the next model's picture");
    await page.locator("#history-list li").nth(1).waitFor();
    await page.locator("#history-list .open").nth(1).click();
    await page.locator("#pictures-words", { hasText: "Only the model that was made last" }).waitFor();
    holds(await page.locator('[data-picture="turntable"]').isDisabled(), "pictures of a model that the engine forgot");
  });

  await visit("a model that nobody turns is drawn once and not again: without a graphics card each frame costs a core", async (visitor, page) => {
    const still = () => page.waitForFunction(() => new Promise((done) => {
      const before = window.draws;
      setTimeout(() => done(window.draws === before), 400);
    }));
    await visitor.sample();
    await visitor.make({ steps: 1 });
    await visitor.result();
    await page.locator("#history-list li").waitFor();
    await still();
    const shown = await page.evaluate(() => window.draws);
    holds(shown > 0, "the model was never drawn, or its drawing is not counted");
    await page.waitForTimeout(1000);
    equal(await page.evaluate(() => window.draws), shown, "draws after a second in which nothing moved");
    await page.locator("#viewer canvas").first().press("ArrowLeft");
    await page.waitForFunction((shown) => window.draws > shown, shown);
    await still();
  }, { before: ({ page }) => page.addInitScript(countDraws) });

  await visit("pasting works as dropping does", async (_, page) => {
    await page.evaluate(async () => {
      const canvas = new OffscreenCanvas(64, 64);
      canvas.getContext("2d").fillRect(8, 8, 40, 40);
      const data = new DataTransfer();
      data.items.add(new File([await canvas.convertToBlob()], "p.png", { type: "image/png" }));
      document.dispatchEvent(new ClipboardEvent("paste", { clipboardData: data }));
    });
    await page.locator("#view-cutout").waitFor();
  });

  await visit("the camera takes a picture, and its light goes out", async (_, page) => {
    await page.getByRole("button", { name: "Use the camera" }).click();
    await page.waitForFunction(() => document.querySelector("#camera-video").videoWidth > 0);
    await page.getByRole("button", { name: "Take the picture" }).click();
    await page.locator("#view-cutout").waitFor();
    equal(await page.evaluate(() => document.querySelector("#camera-video").srcObject), null, "the camera's stream");
  });

  await visit("the brush corrects the mask by pointer and by keyboard, and strokes can be taken back", async (visitor, page) => {
    await visitor.sample();
    const pixel = () => page.evaluate(() => [...document.querySelector("#cutout-canvas").getContext("2d").getImageData(24, 24, 1, 1).data].join());
    const before = await pixel();
    const box = await page.locator("#cutout-canvas").boundingBox();
    await page.mouse.move(box.x + 20, box.y + 20);
    await page.mouse.down();
    await page.mouse.move(box.x + 80, box.y + 80, { steps: 4 });
    await page.mouse.up();
    holds((await pixel()) !== before, "the stroke changed the corner");
    await page.getByRole("button", { name: "Undo" }).click();
    equal(await pixel(), before, "the corner after undo");
    await page.locator("#cutout-canvas").focus();
    for (const key of ["ArrowRight", "ArrowDown", " "]) await page.keyboard.press(key);
    holds(await page.getByRole("button", { name: "Undo" }).isEnabled(), "the keyboard painted");
    await visitor.make();
    await visitor.result();
  });

  await visit("a run can be cancelled in its middle and run again; what was fetched stays", async (visitor, page) => {
    await visitor.sample();
    await visitor.make({ steps: 60 });
    await page.locator('[data-stage="structure"].now').waitFor();
    await page.getByRole("button", { name: "Cancel" }).click();
    await page.locator("#view-cutout").waitFor();
    equal(await page.locator(".notice").count(), 0, "notices after a cancel");
    const fetched = packs.log.length;
    await visitor.make({ steps: 2 });
    await visitor.result();
    const again = packs.log.filter(({ file }, at) => at >= fetched && packs.log.slice(0, fetched).some((one) => one.file === file && one.start === 0));
    holds(again.length <= 1, "shards that were here were not fetched again");
  });

  await visit("while a stage runs, the shards of the stages after it come", async (visitor, page) => {
    packs.behave.slow = 10;
    await visitor.sample();
    await visitor.make({ steps: 60 });
    await page.locator('[data-stage="structure"].now progress').waitFor();
    holds(packs.log.length < index.shards.length, "all shards had been asked for before the stage ran");
    for (let n = 0; n < 60 && packs.log.length < index.shards.length; n += 1) await page.waitForTimeout(50);
    equal(packs.log.length, index.shards.length, "shards asked for");
    holds((await page.locator('[data-stage="structure"].now').count()) === 1, "the stage had ended before they came");
    packs.behave.slow = 0;
    await page.getByRole("button", { name: "Cancel" }).click();
    await page.locator("#view-cutout").waitFor();
  });

  await visit("pipelines are compiled while the weights come, once", async (visitor, page) => {
    packs.behave.slow = 40;
    await visitor.sample();
    await visitor.make({ steps: 1 });
    await page.locator('[data-stage="kernels"].now').waitFor();
    await page.locator('[data-stage="kernels"].done').waitFor();
    holds((await page.locator('[data-stage="weights"].now').count()) === 1, "the weights had all come before the pipelines were compiled");
    equal(await page.locator("#stages .done").count(), 1, "rows that were done when the pipelines were compiled");
    packs.behave.slow = 0;
    await visitor.result();
    await visitor.make();
    await visitor.result();
    equal(await visitor.warmed(), 1, "compilings");
  });

  await visit("“Download only” compiles the pipelines, too, and a picture that comes meanwhile waits for them", async (visitor, page) => {
    packs.behave.slow = 20;
    await page.locator("#weights > summary").click();
    await page.getByRole("button", { name: "Download only" }).click();
    await visitor.sample();
    equal(await visitor.warmed(), 1, "compilings");
    packs.behave.slow = 0;
  });

  await visit("a run that is cancelled while pipelines are compiled ends at once, and the next one works", async (visitor, page) => {
    packs.behave.slow = 40;
    await visitor.sample();
    await visitor.make({ steps: 1 });
    await page.locator('[data-stage="kernels"].now').waitFor();
    await page.getByRole("button", { name: "Cancel" }).click();
    await page.locator("#view-cutout").waitFor({ timeout: 2000 });
    packs.behave.slow = 0;
    await visitor.make();
    await visitor.result();
    equal(await visitor.warmed(), 1, "compilings");
  });

  await visit("a broken transfer goes on where it broke", async (visitor) => {
    packs.behave.cut = 2;
    await visitor.sample();
    await visitor.make({ steps: 1 });
    await visitor.result();
    const resumed = packs.log.filter(({ start }) => start > 0);
    equal(resumed.length, 2, "requests that began in the middle");
  });

  await visit("a shard that comes damaged is noticed and fetched again", async (visitor) => {
    packs.behave.flip = 1;
    await visitor.sample();
    await visitor.make({ steps: 1 });
    await visitor.result();
    equal(packs.log.filter(({ file }) => file === index.shards[0].file).length, 2, "fetches of the damaged shard");
  });

  await visit("a server whose copy is damaged is named, and nothing runs on wrong weights", async (visitor) => {
    packs.behave.flip = 99;
    await visitor.sample();
    await visitor.make({ steps: 1 });
    await visitor.notice("maquette::pack::digest");
  });

  await visit("a shard that rots on this device is noticed and fetched again", async (visitor, page) => {
    await page.locator("#weights > summary").click();
    await page.getByRole("button", { name: "Download only" }).click();
    await page.locator("#weights-short", { hasText: "on this device" }).waitFor();
    await visitor.damage(index.shards[1]);
    await page.reload();
    await page.locator("#weights-short", { hasText: "on this device" }).waitFor();
    packs.log.length = 0;
    await visitor.sample();
    await visitor.make({ steps: 1 });
    await visitor.result();
    equal(packs.log.map(({ file }) => file).join(), index.shards[1].file, "shards fetched again");
  });

  await visit("after one visit the page opens and makes a model without any network, and keeps its history", async (visitor, page) => {
    await visitor.sample();
    await visitor.make({ steps: 1 });
    await visitor.result();
    await page.locator("#history-list li").waitFor();
    await page.evaluate(() => navigator.serviceWorker.ready);
    await visitor.context.setOffline(true);
    packs.behave.down = true;
    await page.reload();
    await page.locator("#weights-short", { hasText: "on this device" }).waitFor();
    await visitor.sample("mug");
    await visitor.make();
    await visitor.result();
    await page.locator("#history-list li").nth(1).waitFor();
    await page.locator("#history-list .open").nth(1).click();
    holds((await page.locator("#result-words").innerText()).startsWith("8 triangles"), "the earlier model is shown");
    await page.locator('[data-mode="splats"]:disabled').waitFor();
    holds((await visitor.download("glb")).bytes.length > 500, "and can be downloaded");
    await page.goto(`${visitor.origin}/doctor`);
    await page.locator(".verdict.good").waitFor();
  });

  await visit("“Use offline” never asks the network; “Delete” frees the room", async (_, page) => {
    await page.locator("#weights > summary").click();
    await page.getByRole("button", { name: "Download only" }).click();
    await page.locator("#weights-short", { hasText: "on this device" }).waitFor();
    await page.locator("#weights-offline").check();
    packs.behave.down = true;
    await page.reload();
    await page.locator("#weights-short", { hasText: "on this device" }).waitFor();
    holds(!(await page.locator("#weights-words").textContent()).includes("does not answer"), "the network was not asked");
    await page.locator("#weights > summary").click();
    await page.getByRole("button", { name: "Delete" }).click();
    await page.locator("#weights-short", { hasText: "to be fetched" }).waitFor();
    equal(await stored(page), 0, "bytes of shards left");
  });

  await visit("“Keep” asks the browser for lasting storage, and its answer is shown", async (_, page) => {
    await page.locator("#weights > summary").click();
    await page.locator("#storage-words", { hasText: "may clear it" }).waitFor();
    await page.locator("#storage-keep").click();
    await page.locator("#storage-words", { hasText: "did not agree" }).waitFor();
    await page.evaluate(() => (window.granting = true));
    await page.locator("#storage-keep").click();
    await page.locator("#storage-words", { hasText: "until you delete it" }).waitFor();
    holds(await page.locator("#storage-keep").isHidden(), "there is nothing left to ask for");
  }, { before: ({ context }) => context.addInitScript(answerPersistence) });

  await visit("a download can be stopped and taken up again", async (_, page) => {
    packs.behave.slow = 20;
    await page.locator("#weights > summary").click();
    await page.getByRole("button", { name: "Download only" }).click();
    await page.locator("#weights-short", { hasText: "/s" }).waitFor();
    await page.getByRole("button", { name: "Stop" }).click();
    await page.locator("#weights-short", { hasText: " here" }).waitFor();
    packs.behave.slow = 0;
    await page.getByRole("button", { name: "Download only" }).click();
    await page.locator("#weights-short", { hasText: "on this device" }).waitFor();
    holds(packs.log.some(({ start }) => start > 0), "the second download began in the middle");
  });

  await visit("without private storage the weights stay in memory, and a model is made", async (visitor, page) => {
    await visitor.sample();
    await visitor.make({ steps: 1 });
    await visitor.result();
    holds((await page.locator("#weights-words").textContent()).includes("in memory"), "the panel says where they are");
  }, { before: ({ context }) => context.addInitScript(withoutPrivateFiles) }, closed.origin);

  await visit("a server without CORS is explained in words", async (visitor) => {
    packs.behave.cors = false;
    await visitor.sample();
    await visitor.make();
    await visitor.notice("maquette::pack::cors");
  });

  await visit("a server that is down is named, and the run goes on when it is back", async (visitor, page) => {
    packs.behave.down = true;
    await visitor.sample();
    await visitor.make();
    await visitor.notice("maquette::pack::network");
    packs.behave.down = false;
    await page.getByRole("button", { name: "Try again" }).click();
    await visitor.result();
  });

  await visit("a pack over plain http, for a page over https, is explained", async (visitor) => {
    await visitor.sample();
    await visitor.make();
    await visitor.notice("maquette::pack::mixed");
  }, { query: "?pack=http://packs.test/tiny/pack.json", allowed: ["http://packs.test"], before: ({ context }) => overHttps(context, site.origin) }, "https://page.test");

  await visit("an address that is not secure is explained, and nothing else is tried there", async (visitor, page) => {
    await visitor.notice("insecure");
    await page.locator("#weights-short", { hasText: "not here" }).waitFor();
  }, {}, whole.origin.replace("127.0.0.1", "page.test"));

  await visit("an address that is no pack is explained", async (visitor) => {
    await visitor.sample();
    await visitor.make();
    await visitor.notice("maquette::pack::http");
  }, { query: `?pack=${packs.origin}/nothing/pack.json` });

  await visit("a lost device is explained, and the next run works", async (visitor, page) => {
    await visitor.sample();
    await visitor.make({ steps: 60 });
    await page.locator('[data-stage="structure"].now').waitFor();
    await page.evaluate(() => window.maquette.destroyDevice());
    await visitor.notice("maquette::gpu::lost");
    await page.locator("#steps").fill("1");
    await page.getByRole("button", { name: "Run again" }).click();
    await visitor.result();
  });

  await visit("a graphics card with too little memory is told so, with a way to the doctor", async (visitor, page) => {
    await visitor.sample();
    await visitor.make({ steps: 98 });
    await visitor.notice("maquette::gpu::memory");
    holds((await page.locator(".notice").innerText()).includes("smaller model pack"), "the notice says what to do");
    await page.getByRole("button", { name: "Open the doctor page" }).click();
    await page.locator(".verdict.good").waitFor();
  });

  await visit("an earlier model can be deleted", async (visitor, page) => {
    await visitor.sample();
    await visitor.make({ steps: 1 });
    await visitor.result();
    await page.locator("#history-list li").waitFor();
    await page.getByRole("button", { name: /^Delete house/ }).click();
    await page.locator("#history").waitFor({ state: "hidden" });
    await page.reload();
    await page.locator("#weights-short", { hasText: "on this device" }).waitFor();
    equal(await page.locator("#history-list li").count(), 0, "models after a reload");
  });

  await visit("a trap in the module ends the run with words, and the next run works", async (visitor, page) => {
    await visitor.sample();
    await visitor.make({ steps: 99 });
    await visitor.notice("maquette::fault");
    await page.locator("#steps").fill("1");
    await page.getByRole("button", { name: "Try again" }).click();
    await visitor.result();
  });

  await visit("a file that is no picture and a poor cut-out are explained, with a way on", async (visitor, page) => {
    await page.locator("#file").setInputFiles({ name: "notes.txt", mimeType: "image/png", buffer: Buffer.from("no picture") });
    await visitor.notice("maquette::picture::format");
    const png = await page.evaluate(async () => {
      const canvas = new OffscreenCanvas(16, 16);
      canvas.getContext("2d").fillRect(0, 0, 16, 16);
      return [...new Uint8Array(await (await canvas.convertToBlob()).arrayBuffer())];
    });
    await page.locator("#file").setInputFiles({ name: "poor.png", mimeType: "image/png", buffer: Buffer.from(png) });
    await visitor.notice("maquette::picture::mask");
    await page.getByRole("button", { name: "Go on anyway" }).click();
    await page.locator("#view-cutout").waitFor();
  });

  await visit("a browser without WebGPU is told so, with a way to the doctor", async (visitor, page) => {
    await visitor.notice("no-webgpu");
    await page.getByRole("button", { name: "Open the doctor page" }).click();
    await page.locator(".verdict.bad", { hasText: "has no WebGPU" }).waitFor();
  }, { before: ({ context }) => context.addInitScript(() => delete Navigator.prototype.gpu) }, whole.origin);

  await visit("a browser that gives no adapter is told so, with the block list as its likely cause", async (visitor, page) => {
    await visitor.notice("no-adapter");
    holds((await page.locator(".notice").innerText()).includes("block list"), "the block list is named");
    await page.getByRole("button", { name: "Open the doctor page" }).click();
    await page.locator(".verdict.bad", { hasText: "no graphics adapter" }).waitFor();
  }, { before: ({ context }) => context.addInitScript(() => (GPU.prototype.requestAdapter = async () => null)) }, whole.origin);

  for (const colorScheme of ["light", "dark"]) {
    for (const width of [360, 1280]) {
      await visit(`axe finds nothing serious in any state (${colorScheme}, ${width} px)`, async (visitor, page) => {
        await page.locator("#weights > summary").click();
        await visitor.accessible("empty");
        await visitor.sample();
        await visitor.accessible("cut-out");
        await visitor.make({ steps: 12 });
        await page.locator('[data-stage="latent"].now').waitFor();
        await visitor.accessible("run");
        await visitor.result();
        await page.locator("#history-list li").waitFor();
        await page.locator("#health-box > summary").click();
        await visitor.accessible("result");
        const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
        holds(overflow <= 0, `the page is ${overflow} px too wide`);
        await page.goto(`${visitor.origin}/doctor`);
        await page.locator(".verdict.good").waitFor();
        await visitor.accessible("doctor");
      }, { colorScheme, reducedMotion: "reduce", viewport: { width, height: 800 } });
    }
  }

  await visit("a run is possible with the keyboard alone", async (visitor, page) => {
    const press = async (name, key) => {
      for (let n = 0; n < 40; n += 1) {
        const focused = await page.evaluate(() => document.activeElement?.getAttribute("aria-label") || document.activeElement?.textContent?.trim());
        if (focused === name) return page.keyboard.press(key);
        await page.keyboard.press("Tab");
      }
      throw new Error(`“${name}” cannot be reached`);
    };
    await press("Sample: mug", "Enter");
    await page.locator("#view-cutout").waitFor();
    await press("Make the 3D model", "Enter");
    await visitor.result();
    await press("Normals", "Space");
    equal(await page.getByRole("button", { name: "Normals" }).getAttribute("aria-pressed"), "true", "the mode");
  });

  await visit("the first paint waits neither for the module nor for the weights", async (visitor, page) => {
    await page.waitForFunction(() => performance.getEntriesByName("first-contentful-paint").length > 0);
    // The service worker keeps the module later; the page itself does not ask for it before there is a picture.
    const early = await page.evaluate(() => performance.getEntriesByType("resource").map(({ name }) => name).filter((name) => name.includes("/engine/")));
    equal(early.length, 0, "requests of the page for the module");
    holds(visitor.requests.length > 0, "requests were recorded");
  });

  await visit("it can be installed: a manifest with icons of the right sizes", async (visitor, page) => {
    const sizes = await page.evaluate(async () => {
      const manifest = await (await fetch("manifest.webmanifest")).json();
      return Promise.all(manifest.icons.map(async ({ src, sizes }) => {
        const bitmap = await createImageBitmap(await (await fetch(src)).blob());
        return sizes === `${bitmap.width}x${bitmap.height}`;
      }));
    });
    equal(sizes.join(), "true,true,true", "icons of the stated size");
    await page.evaluate(() => navigator.serviceWorker.ready);
  });

  await suite.test("Chromium offers to install it", async () => {
    const profile = mkdtempSync(join(tmpdir(), "maquette-profile-"));
    const context = await launchProfile(profile);
    try {
      const page = await context.newPage();
      await page.goto(whole.origin);
      const { installabilityErrors } = await (await context.newCDPSession(page)).send("Page.getInstallabilityErrors");
      equal(installabilityErrors.map(({ errorId }) => errorId).join(), "", "what speaks against it");
    } finally {
      await context.close();
      rmSync(profile, { recursive: true, force: true });
    }
  });

  await browser.close();
  site.close();
  whole.close();
  closed.close();
  packs.close();
}

/** Bytes of all stored shards. */
function stored(page) {
  return page.evaluate(async () => {
    let sum = 0;
    const packs = await (await navigator.storage.getDirectory()).getDirectoryHandle("packs");
    for await (const folder of packs.values()) {
      for await (const [name, file] of folder.entries()) if (name.endsWith(".bin")) sum += (await file.getFile()).size;
    }
    return sum;
  });
}

/** Answers for https://page.test with what the page's server gives. */
async function overHttps(context, origin) {
  await context.route("https://page.test/**", async (route) => {
    const { pathname } = new URL(route.request().url());
    const response = await fetch(origin + pathname);
    const headers = { "content-type": response.headers.get("content-type") ?? "text/plain" };
    await route.fulfill({ status: response.status, headers, body: Buffer.from(await response.arrayBuffer()) });
  });
}

/** Answers a request for lasting storage: no, until the page's `granting` is set. */
function answerPersistence() {
  let granted = false;
  StorageManager.prototype.persisted = async () => granted;
  StorageManager.prototype.persist = async () => (granted = window.granting === true);
}

/** Takes the private file system away, as private windows of some browsers do. */
function withoutPrivateFiles() {
  StorageManager.prototype.getDirectory = () => Promise.reject(new DOMException("no", "SecurityError"));
}

/** In the page, before its scripts: counts what WebGL draws and what is put on canvases. */
function countDraws() {
  window.draws = 0;
  for (const [type, names] of [[WebGL2RenderingContext, ["drawArrays", "drawElements"]], [CanvasRenderingContext2D, ["putImageData", "drawImage"]]]) {
    for (const name of names) {
      const draw = type.prototype[name];
      type.prototype[name] = function (...args) {
        window.draws += 1;
        return draw.apply(this, args);
      };
    }
  }
}

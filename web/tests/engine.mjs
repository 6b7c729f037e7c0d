// The page over the real engine, on Chromium's software WebGPU: the tiny random model of the reference numbers in f32.
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import validator from "gltf-validator";
import { compareDump } from "../../tests/browser/safetensors.mjs";
import { dist, equal, holds, launch, out, root } from "./harness.mjs";
import { servePacks, servePage } from "./servers.mjs";

const reference = join(root, "tests/goldens/cli/end_to_end.safetensors");
const picture = join(root, "tests/goldens/trellis/e2e/input.png");
const target = resolve(root, process.env.CARGO_TARGET_DIR || "target");
/** A stage may take minutes on a busy processor without a graphics card. */
const LONG = 500_000;

export async function engineTests(suite) {
  const site = await servePage(dist);
  const packs = await servePacks({ tiny: join(out, "tiny"), mini: join(dist, "packs/mini") });
  const browser = await launch();
  const options = { query: `?pack=${packs.origin}/tiny/pack.json&precision=f32`, allowed: [packs.origin] };
  const visit = (name, body, more = {}) => suite.visit(name, browser, site.origin, { ...options, ...more }, body);

  await visit("the doctor page shows what the engine finds", async (visitor, page) => {
    await page.goto(`${visitor.origin}/doctor`);
    await page.locator(".verdict.good, .verdict.bad").waitFor({ timeout: LONG });
    holds((await page.locator(".verdict.good").count()) === 1, await page.locator("#verdict").innerText());
    const facts = await page.locator("#engine-facts").innerText();
    for (const word of ["Adapter", "Tier", "16-bit floats", "Largest binding", "Trial"]) holds(facts.includes(word), `no ${word} in: ${facts}`);
  });

  await visit("every dumped tensor equals the reference, and the GLB is the native program's", async (_, page) => {
    await page.exposeFunction("inputFile", (path) => readFileSync(path).toString("base64"));
    const dumped = await page.evaluate(run, { picture, reference });
    console.log(`       encoder to texture in ${dumped.seconds.toFixed(0)} s (${dumped.stages.join(", ")}); heap at most ${(dumped.heap / 1e6).toFixed(0)} MB`);
    const folder = join(out, "dump");
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(folder, { recursive: true });
    for (const [name, base64] of dumped.files) writeFileSync(join(folder, name), Buffer.from(base64, "base64"));
    for (const line of compareDump((name) => readFileSync(join(folder, name)), readFileSync(reference))) console.log(`       ${line}`);
    holds(dumped.heap < 500e6, `the module's heap grew to ${dumped.heap} bytes`);
    const glb = Buffer.from(dumped.glb, "base64");
    writeFileSync(join(out, "page.glb"), glb);
    holds(glb.equals(fromDump(folder)), "the page's GLB (tests/out/page.glb) differs from the native program's (native.glb)");
  });

  await visit("cancel, run again, lose the device, run again, then offline from the cache", async (visitor, page) => {
    await page.locator("#file").setInputFiles(picture);
    await page.locator("#view-cutout").waitFor({ timeout: LONG });
    await visitor.make({ steps: 20, quality: "draft", faces: 1500 });
    await page.locator('[data-stage="structure"].now progress').waitFor({ timeout: LONG });
    await page.getByRole("button", { name: "Cancel" }).click();
    await page.locator("#view-cutout").waitFor({ timeout: 15_000 });

    await page.locator("#steps").fill("20");
    await page.locator("#make").click();
    await page.locator('[data-stage="structure"].now progress').waitFor({ timeout: LONG });
    await page.evaluate(() => window.maquette.destroyDevice());
    await visitor.notice("maquette::gpu::lost", LONG);

    await page.locator("#steps").fill("1");
    await page.getByRole("button", { name: "Run again" }).click();
    await visitor.result(LONG);
    const glb = await visitor.download("glb");
    const report = await validator.validateBytes(new Uint8Array(glb.bytes));
    equal(report.issues.numErrors + report.issues.numWarnings, 0, "findings of the validator");
    for (const mode of ["Normals", "Wireframe", "Splats"]) await page.getByRole("button", { name: mode }).click();
    await page.waitForFunction(() => document.querySelector(".splat-layer").width > 300 && !document.querySelector(".splat-layer").hidden, null, { timeout: LONG });

    await page.evaluate(() => navigator.serviceWorker.ready);
    await visitor.context.setOffline(true);
    packs.behave.down = true;
    await page.reload();
    await page.locator("#history-list li").waitFor();
    await page.locator("#file").setInputFiles(picture);
    await page.locator("#view-cutout").waitFor({ timeout: LONG });
    await visitor.make({ steps: 1, quality: "draft", faces: 1500 });
    await visitor.result(LONG);
    packs.behave.down = false;
  });

  await browser.close();
  site.close();
  packs.close();
}

/** In the page: the run of the reference numbers, by the page's own client. */
async function run({ picture, reference }) {
  const bytes = async (path) => Uint8Array.from(atob(await window.inputFile(path)), (char) => char.charCodeAt(0));
  const base64 = (array) => {
    let text = "";
    for (let at = 0; at < array.length; at += 32768) text += String.fromCharCode(...array.subarray(at, at + 32768));
    return btoa(text);
  };
  const cutout = await window.maquette.cutOut(new Blob([await bytes(picture)]));
  const stages = [];
  const begun = performance.now();
  const model = await window.maquette.generate(cutout, {
    noise: await bytes(reference),
    faces: 1500,
    textureSize: 256,
    onProgress: (progress) => {
      if (progress.kind === "finished") stages.push(`${progress.stage} ${progress.seconds.toFixed(1)}`);
    },
  });
  const seconds = (performance.now() - begun) / 1000;
  const { heap } = await window.maquette.memory();
  const files = (await model.dump()).map(({ name, bytes }) => [name, base64(bytes)]);
  const [glb] = await model.files("glb");
  return { seconds, stages, heap, files, glb: base64(glb.bytes) };
}

/**
 * The GLB that the native program makes of the same decoder outputs. It opens the software rasteriser's device, because the file
 * names the tier that it was made on.
 */
function fromDump(folder) {
  const program = ["release", "debug"].map((profile) => join(target, profile, "maquette")).find((file) => existsSync(file));
  holds(program, `no native program below ${target}: build maquette-cli`);
  const glb = join(out, "native.glb");
  const model = join(root, "tests/goldens/trellis/model");
  const args = ["generate", "--tier", "base", "--resume", folder, "-o", glb, "--overwrite", "--faces", "1500", "--texture-size", "256"];
  execFileSync(program, [...args, "--noise", reference, "--model", model], { stdio: ["ignore", "ignore", "pipe"], env: { VK_DRIVER_FILES: lavapipe(), ...process.env } });
  return readFileSync(glb);
}

function lavapipe() {
  const folder = "/usr/share/vulkan/icd.d";
  const found = existsSync(folder) ? readdirSync(folder).find((name) => /^lvp_icd.*json$/.test(name)) : undefined;
  return found ? join(folder, found) : "";
}

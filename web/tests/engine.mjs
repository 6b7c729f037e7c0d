// The page over the real engine, on Chromium's software WebGPU: the tiny random model of the reference numbers in f32.
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
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
/** Even a click waits for a picture of the page, which the software rasteriser draws between its other work. */
const PATIENT = 120_000;

export async function engineTests(suite) {
  const site = await servePage(dist);
  const packs = await servePacks({ tiny: join(out, "tiny"), mini: join(dist, "packs/mini") });
  const browser = await launch();
  const options = { query: `?pack=${packs.origin}/tiny/pack.json&precision=f32`, allowed: [packs.origin] };
  const visit = (name, body) =>
    suite.visit(name, browser, site.origin, options, (visitor, page) => {
      page.setDefaultTimeout(PATIENT);
      return body(visitor, page);
    });

  await visit("the doctor page shows what the engine finds", async (visitor, page) => {
    await page.goto(`${visitor.origin}/doctor`);
    await page.locator(".verdict.good, .verdict.bad").waitFor({ timeout: LONG });
    holds((await page.locator(".verdict.good").count()) === 1, await page.locator("#verdict").innerText());
    const facts = await page.locator("#engine-facts").innerText();
    await visitor.accessible("doctor");
    for (const word of ["Adapter", "Tier", "16-bit floats", "Graphics API", "Subgroups", "Matrix shapes", "Timestamps", "Largest binding", "Workgroup memory", "Groups a dimension", "Trial"]) holds(facts.includes(word), `no ${word} in: ${facts}`);
  });

  await visit("every dumped tensor equals the reference, and GLB and pictures are the native program's", async (_, page) => {
    await page.exposeFunction("inputFile", (path) => readFileSync(path).toString("base64"));
    packs.behave.slow = 25;
    const made = await page.evaluate(run, { picture, reference });
    packs.behave.slow = 0;
    console.log(`       encoder to texture in ${made.seconds.toFixed(0)} s (${made.stages.join(", ")}); heap at most ${(made.heap / 1e6).toFixed(0)} MB`);
    const { kinds } = made;
    const between = kinds.slice(kinds.indexOf("compiling"), kinds.indexOf("compiled"));
    holds(between.includes("download") && kinds.indexOf("compiled") < kinds.indexOf("started"), `pipelines were not compiled while weights came: ${kinds}`);
    const folder = keep("dump", made.files);
    for (const line of compareDump((name) => readFileSync(join(folder, name)), readFileSync(reference))) console.log(`       ${line}`);
    holds(made.heap < 500e6, `the module's heap grew to ${made.heap} bytes`);
    const glb = Buffer.from(made.glb, "base64");
    writeFileSync(join(out, "page.glb"), glb);
    const views = join(out, "native-views.png");
    const native = fromDump(folder, ["--noise", reference, "--faces", "1500", "--texture-size", "256", "--preview", views]);
    holds(glb.equals(native), "the page's GLB (tests/out/page.glb) differs from the native program's (native.glb)");
    const drawn = (show) => Buffer.from(made.pictures[show], "base64");
    holds(drawn("texture").equals(readFileSync(views)), "four views of the mesh differ from the native program's (native-views.png)");
    holds(drawn("normals").equals(preview(join(out, "native.glb"), "normals.png", ["--show", "normals", "--size", "200"])), "four views of the normals differ");
    holds(drawn("splats").equals(preview(join(folder, "gaussians.safetensors"), "splats.png", ["--size", "200"])), "four views of the splats differ");
  });

  await visit("a dropped picture: cancel in the middle, lose the device, run again, and the file that is downloaded", async (visitor, page) => {
    await visitor.accessible("empty");
    await visitor.drop(readFileSync(picture), "input.png", "image/png");
    await page.locator("#view-cutout").waitFor({ timeout: LONG });
    await visitor.accessible("cut-out");
    await visitor.make({ steps: 20, quality: "draft", faces: 1500 });
    const structure = page.locator('[data-stage="structure"].now progress');
    await structure.waitFor({ timeout: LONG });
    await page.waitForFunction(() => document.querySelector('[data-stage="structure"] progress')?.value > 0, null, { timeout: LONG });
    await visitor.accessible("run");
    await page.getByRole("button", { name: "Cancel" }).click();
    await page.locator("#view-cutout").waitFor({ timeout: 15_000 });
    equal(await page.locator(".notice").count(), 0, "notices after a cancel");

    await visitor.make({ steps: 20 });
    await structure.waitFor({ timeout: LONG });
    await page.evaluate(() => window.maquette.destroyDevice());
    await visitor.notice("maquette::gpu::lost", LONG);

    await page.evaluate(() => {
      const generate = window.maquette.generate.bind(window.maquette);
      window.maquette.generate = async (...args) => (window.made = await generate(...args));
    });
    await page.locator("#steps").fill("1");
    await page.getByRole("button", { name: "Run again" }).click();
    await page.locator("#preview-caption", { hasText: "splats" }).waitFor({ timeout: LONG });
    await visitor.result(LONG);
    await visitor.accessible("result");
    const glb = await visitor.download("glb");
    const report = await validator.validateBytes(new Uint8Array(glb.bytes));
    equal(report.issues.numErrors + report.issues.numWarnings, 0, "findings of the validator");
    const folder = keep("downloaded", await page.evaluate(dumped));
    const native = fromDump(folder, ["--seed", "42", "--steps", "1", "--faces", "1500", "--texture-size", "512", "--unwrap", "boxes", "--keep-hidden"]);
    holds(glb.bytes.equals(native), "the downloaded GLB differs from the native program's");
    await page.locator('[data-picture="turntable"]').click();
    await page.getByRole("button", { name: "Stop" }).click();
    await page.locator("#pictures-words", { hasText: "Stopped" }).waitFor();
    // Encoders of WebP break ties by the platform's word size: the same pixels, in other bytes.
    const turn = await visitor.look((await visitor.drawn("turntable", "normals")).bytes, "image/webp");
    const theirs = await visitor.look(preview(join(out, "native.glb"), "turn.webp", ["--show", "normals"]), "image/webp");
    equal(JSON.stringify(turn), JSON.stringify(theirs), "frames of a turn, the page's and the native program's");
    holds(turn.frames.length === 36 && turn.frames.every(({ colours }) => colours > 50), `the turn is blank: ${JSON.stringify(turn.frames[0])}`);
    holds(new Set(turn.frames.map(({ digest }) => digest)).size === 36 && turn.repeats === Infinity, "the turn does not turn for ever");
    const four = await visitor.look((await visitor.drawn("four-views", "splats")).bytes, "image/png");
    holds(four.frames[0].width === 1024 && four.frames[0].colours > 50, `the four views are blank: ${JSON.stringify(four)}`);
    for (const mode of ["Normals", "Wireframe", "Splats"]) await page.getByRole("button", { name: mode }).click();
    await page.waitForFunction(() => document.querySelector(".splat-layer").width > 300 && !document.querySelector(".splat-layer").hidden, null, { timeout: LONG });
  });

  await visit("a shard that rots on this device is fetched again, and then the page makes a model offline", async (visitor, page) => {
    const { shards } = JSON.parse(readFileSync(join(out, "tiny/pack.json"), "utf8"));
    await page.locator("#weights > summary").click();
    await page.getByRole("button", { name: "Download only" }).click();
    await page.locator("#weights-short", { hasText: "on this device" }).waitFor();
    await visitor.damage(shards[0]);
    await page.evaluate(() => navigator.serviceWorker.ready);
    await page.reload();
    await page.locator("#weights-short", { hasText: "on this device" }).waitFor();
    packs.log.length = 0;
    await visitor.drop(readFileSync(picture), "input.png", "image/png");
    await page.locator("#view-cutout").waitFor({ timeout: LONG });
    await visitor.make({ steps: 1, quality: "draft", faces: 1500 });
    await page.locator('[data-stage="structure"].now').waitFor({ timeout: LONG });
    equal(packs.log.map(({ file }) => file).join(), shards[0].file, "shards fetched again");
    await page.getByRole("button", { name: "Cancel" }).click();
    await page.locator("#view-cutout").waitFor({ timeout: 15_000 });

    await visitor.context.setOffline(true);
    packs.behave.down = true;
    await page.reload();
    await page.locator("#weights-short", { hasText: "on this device" }).waitFor();
    await visitor.drop(readFileSync(picture), "input.png", "image/png");
    await page.locator("#view-cutout").waitFor({ timeout: LONG });
    await visitor.make({ steps: 1, quality: "draft", faces: 1500 });
    await visitor.result(LONG);
    await page.locator("#history-list li").waitFor();
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
  const [stages, kinds] = [[], []];
  const begun = performance.now();
  const model = await window.maquette.generate(cutout, {
    noise: await bytes(reference),
    faces: 1500,
    textureSize: 256,
    onProgress: (progress) => {
      if (kinds.at(-1) !== progress.kind) kinds.push(progress.kind);
      if (progress.kind === "finished") stages.push(`${progress.stage} ${progress.seconds.toFixed(1)}`);
    },
  });
  const seconds = (performance.now() - begun) / 1000;
  const { heap } = await window.maquette.memory();
  const files = (await model.dump()).map(({ name, bytes }) => [name, base64(bytes)]);
  const [glb] = await model.files("glb");
  const pictures = {};
  for (const show of ["texture", "normals", "splats"]) {
    const file = await model.picture({ kind: "four-views", show, ...(show === "texture" ? {} : { side: 200 }) });
    pictures[show] = base64(new Uint8Array(await file.arrayBuffer()));
  }
  return { seconds, stages, kinds, heap, files, pictures, glb: base64(glb.bytes) };
}

/** In the page: the files of the dump of the model that the page made itself. */
async function dumped() {
  const text = (array) => new Promise((resolve) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result.split(",")[1]);
    reader.readAsDataURL(new Blob([array]));
  });
  return Promise.all((await window.made.dump()).map(async ({ name, bytes }) => [name, await text(bytes)]));
}

/** Writes a dump's files into a folder of their own. */
function keep(name, files) {
  const folder = join(out, name);
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  for (const [file, base64] of files) writeFileSync(join(folder, file), Buffer.from(base64, "base64"));
  return folder;
}

/**
 * The GLB that the native program makes of the same decoder outputs. It opens the software rasteriser's device, because the file
 * names the tier that it was made on.
 */
function fromDump(folder, options) {
  const glb = join(out, "native.glb");
  const args = ["generate", "--tier", "base", "--resume", folder, "-o", glb, "--overwrite", "--model", join(out, "models/tiny")];
  maquette([...args, ...options]);
  return readFileSync(glb);
}

/** The native program's picture of a file. */
function preview(file, name, options) {
  const picture = join(out, `native-${name}`);
  maquette(["preview", file, "-o", picture, "--overwrite", ...options]);
  return readFileSync(picture);
}

/** Runs the native program of the folder MAQUETTE_PROGRAMS, or the newest there is. */
function maquette(args) {
  const folders = process.env.MAQUETTE_PROGRAMS ? [process.env.MAQUETTE_PROGRAMS] : ["release", "debug"].map((profile) => join(target, profile));
  const built = folders.map((folder) => join(folder, "maquette")).filter((file) => existsSync(file));
  const [program] = built.sort((a, b) => statSync(b).mtimeMs - statSync(a).mtimeMs);
  holds(program, `no native program in ${folders}: build maquette-cli`);
  execFileSync(program, args, { stdio: ["ignore", "ignore", "pipe"], env: { VK_DRIVER_FILES: lavapipe(), ...process.env } });
}

function lavapipe() {
  const folder = "/usr/share/vulkan/icd.d";
  const found = existsSync(folder) ? readdirSync(folder).find((name) => /^lvp_icd.*json$/.test(name)) : undefined;
  return found ? join(folder, found) : "";
}

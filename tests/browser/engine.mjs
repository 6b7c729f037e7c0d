// The page's engine end to end, in Chromium, against the reference numbers and the native program:
//   node engine.mjs <folder of maquette_web> <the program maquette> <the program maquette-weights>
//
// The tiny golden model is packed, run with the golden's noise, dumped and compared; its files must be those of the native
// program, byte for byte; then everything that can go wrong in a page goes wrong.
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { goldenModel, goldens, packGolden, root } from "./golden-pack.mjs";
import { Report, launch, serve, within } from "./harness.mjs";
import { compareDump } from "./safetensors.mjs";

const [engine, maquette, weights] = process.argv.slice(2);
if (!weights) {
  console.error("usage: node engine.mjs <folder of maquette_web> <the program maquette> <the program maquette-weights>");
  process.exit(2);
}
const reference = readFileSync(join(root, "tests/goldens/cli/end_to_end.safetensors"));
const work = mkdtempSync(join(tmpdir(), "maquette-browser-"));
const SURFACE = { faces: 1500, textureSize: 256 };

const model = goldenModel(join(work, "tiny"));
packGolden(weights, model, join(work, "pack"));
mkdirSync(join(work, "posted/dump"), { recursive: true });
writeFileSync(join(work, "reference.safetensors"), reference);
const server = await serve({ "/engine/": engine, "/pack/": join(work, "pack"), "/goldens/": goldens, "/models/": join(root, "models"), "/posted/": join(work, "posted"), "/reference.safetensors": join(work, "reference.safetensors") });
const origin = `http://127.0.0.1:${server.port}`;
const browser = await launch();
const report = new Report();
const lines = [];

/** A page with a fresh worker. */
async function open(options = {}, at = origin) {
  const page = await browser.newPage();
  page.on("console", (message) => lines.push(`${message.type()}: ${message.text()}`));
  await page.goto(`${at}/engine.html`);
  await page.waitForFunction(() => window.ready);
  const call = (name, ...args) =>
    within(900, name, page.evaluate(async ([name, args]) => {
      try {
        return { value: await window.call(name, ...args) };
      } catch (error) {
        return { error: { message: error.message, code: error.code, help: error.help, kind: error.kind } };
      }
    }, [name, args]));
  await page.evaluate((options) => window.start(options), options);
  return {
    page,
    /** A call that has to work. */
    async ok(name, ...args) {
      const { value, error } = await call(name, ...args);
      if (error) throw new Error(`${name}: ${error.code}: ${error.message}`);
      return value;
    },
    /** A call that has to fail with this code, in words, with help. */
    async fails(code, name, ...args) {
      const { error } = await call(name, ...args);
      if (!error) throw new Error(`${name} ${args}: worked, expected ${code}`);
      if (error.code !== code || !error.message || !error.help || error.kind !== "Error") {
        throw new Error(`${name} ${args}: expected an Error of code ${code}, came ${JSON.stringify(error)}`);
      }
      return error.message;
    },
    call,
    /** Tells the worker something at the first event that fits. */
    on: (stage, kind, message) =>
      page.evaluate(([stage, kind, message]) => {
        window.seen = [];
        window.onevent = (event) => {
          window.seen.push(event);
          if (event.stage === stage && event.kind === kind) {
            window.onevent = (event) => window.seen.push(event);
            window.tell(message);
          }
        };
      }, [stage, kind, message]),
    record: () => page.evaluate(() => {
      window.seen = [];
      window.onevent = (event) => window.seen.push(event);
    }),
    seen: () => page.evaluate(() => window.seen),
    close: () => page.close(),
  };
}

function expect(condition, message) {
  if (!condition) throw new Error(message);
}

/** The posted dump against the reference numbers. */
const compared = () => compareDump((name) => server.posted.get(`dump/${name}`), reference).join(", ");

/** The native program's files of the posted dump. */
function native(tier) {
  const stages = join(work, "stages");
  mkdirSync(stages, { recursive: true });
  for (const [name, body] of server.posted) {
    if (name.startsWith("dump/")) {
      writeFileSync(join(stages, name.slice(5)), body);
      writeFileSync(join(work, "posted", name), body);
    }
  }
  const common = ["generate", "--quiet", "--resume", stages, "--model", model, "--tier", tier, "--noise", join(work, "reference.safetensors"), "--faces", SURFACE.faces, "--texture-size", SURFACE.textureSize, "--overwrite"];
  const run = (...more) => execFileSync(maquette, [...common, ...more].map(String), { cwd: work, stdio: "pipe" });
  run("-o", "object.glb", "--also", "object.mesh.ply", "--also", "object.obj", "--also", "object.stl", "--also", "object.ply");
  run("-o", "small.glb", "--meshopt", "--quantize");
}

function sameFiles() {
  const names = ["object.glb", "object.mesh.ply", "object.obj", "object.mtl", "object.png", "object.stl", "small.glb"];
  const different = names.filter((name) => !server.posted.get(`files/${name}`)?.equals(readFileSync(join(work, name))));
  expect(different.length === 0, `not the native program's: ${different}`);
  expect(server.posted.get("dump/object.ply").equals(readFileSync(join(work, "object.ply"))), "the Gaussian PLY differs");
  return `${names.length + 1} files`;
}

/** The bytes of the picture inside a GLB. */
function texture(glb) {
  const length = glb.readUInt32LE(12);
  const { bufferViews, images } = JSON.parse(glb.subarray(20, 20 + length));
  const { byteOffset = 0, byteLength } = bufferViews[images[0].bufferView];
  return glb.subarray(28 + length + byteOffset, 28 + length + byteOffset + byteLength);
}

/** SHA-256 of a picture's pixels, as Chromium decodes it. */
const pixels = (page, bytes, type) =>
  page.evaluate(async (url) => {
    const bitmap = await createImageBitmap(await (await fetch(url)).blob());
    const context = new OffscreenCanvas(bitmap.width, bitmap.height).getContext("2d");
    context.drawImage(bitmap, 0, 0);
    const { data, width, height } = context.getImageData(0, 0, bitmap.width, bitmap.height);
    const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", data));
    return `${width}x${height} ${[...digest].map((byte) => byte.toString(16).padStart(2, "0")).join("")}`;
  }, `data:${type};base64,${bytes.toString("base64")}`);

try {
  const worker = await open();
  await report.check("the browser's facts are told, with a trial", async () => {
    const facts = await worker.ok("facts");
    expect(facts.webgpu && facts.adapter && facts.trial && !facts.reason, JSON.stringify(facts));
    expect(facts.limits.storageBinding >= 128 << 20 && facts.limits.groups >= 65535, JSON.stringify(facts.limits));
    return `${facts.adapter.vendor} ${facts.adapter.architecture}, tier ${facts.tier}, ${facts.precision}`;
  });
  await report.check("the loss of the device is an error", async () => {
    await worker.ok("open", { precision: "f32" });
    await worker.on("structure", "started", { destroy: true });
    return worker.fails("maquette::gpu::lost", "generate");
  });
  // One whole run is all that is made here, and it takes over a minute: the one where most could go wrong. With the adapter's own
  // limits the page's tests make theirs (`web/tests/engine.mjs`), against the same numbers.
  let tier;
  await report.check("a new engine is opened after it, with the guaranteed limits and no feature at all", async () => {
    const { tier: opened, limits, features } = await worker.ok("open", { limits: "minimum", features: [] });
    expect(limits.storageBinding === 128 << 20 && limits.buffer === 256 << 20, JSON.stringify(limits));
    expect(limits.workgroupMemory === 16 << 10 && limits.groups === 65535 && limits.storageBuffers === 8, JSON.stringify(limits));
    expect(!features.f16 && !features.timestamps && opened === "base", JSON.stringify({ opened, features }));
    tier = opened;
  });
  await report.check("the tiny model runs from its pack", async () => {
    await worker.record();
    const made = await worker.ok("generate");
    const order = (await worker.ok("stages")).map(({ key }) => key);
    expect(`${made.read}` === `${order}`, `stages were asked for as ${made.read}, expected ${order}`);
    const events = await worker.seen();
    const stages = events.filter(({ kind }) => kind === "finished").map(({ stage }) => stage);
    expect(`${stages}` === "encode,structure,latent,gaussians,mesh", `finished: ${stages}`);
    expect(events.some(({ kind, count }) => kind === "gaussians" && count === made.gaussians), "no event tells of the Gaussians");
    expect(made.memory.heap < 500e6, `the heap has ${made.memory.heap} bytes`);
    return `${made.gaussians} Gaussians, heap ${(made.memory.heap / 1e6).toFixed(0)} MB, largest read ${made.largest} bytes; ${events.filter(({ kind }) => kind === "finished").map(({ stage, seconds }) => `${stage} ${seconds.toFixed(1)} s`).join(", ")}`;
  });
  await report.check("its stages equal the reference numbers", async () => {
    await worker.ok("dump");
    return compared();
  });
  await report.check("splats are drawn on the device as on the processor", async () => {
    const [drawn, object, plain] = [await worker.ok("splats", "engine", 96, 64), await worker.ok("splats", "object", 96, 64), await worker.ok("splats", "dump", 96, 64)];
    expect(drawn.length === 96 * 64 * 4 && drawn.some((value, i) => i % 4 === 3 && value > 128), "nothing was drawn");
    expect(drawn.every((value, i) => value === object[i]), "the engine and the object draw different pictures");
    const off = drawn.filter((value, i) => Math.abs(value - plain[i]) > 2).length;
    expect(off < drawn.length / 500, `${off} of ${drawn.length} bytes differ`);
    return `${off} bytes differ by more than 2`;
  });
  await report.check("its files are the native program's, byte for byte", async () => {
    const { triangles, health } = await worker.ok("asset", SURFACE);
    expect(triangles === health.triangles && triangles > 100, `${triangles} triangles, ${JSON.stringify(health)}`);
    native(tier);
    return `${sameFiles()}, ${triangles} triangles`;
  });
  // The WebP encoder's library breaks ties by the size of a word, so its bytes differ between platforms where its pixels do not.
  await report.check("a WebP texture has the pixels of the PNG", async () => {
    const webp = await pixels(worker.page, texture(server.posted.get("files/webp.glb")), "image/webp");
    const png = await pixels(worker.page, server.posted.get("files/object.png"), "image/png");
    expect(webp === png && webp.startsWith(`${SURFACE.textureSize}x`), `${webp}, expected ${png}`);
  });
  await report.check("the Khronos validator finds nothing in its GLBs", async () => {
    const folder = join(work, "glb");
    mkdirSync(folder);
    for (const name of ["object.glb", "small.glb", "webp.glb"]) writeFileSync(join(folder, name), server.posted.get(`files/${name}`));
    execFileSync("node", [join(root, "tests/gltf-validate/validate.js"), folder], { stdio: "pipe" });
  });
  await report.check("files made of the dump in another worker are the same", async () => {
    const other = await open();
    await other.ok("open", { precision: "f32" });
    await other.ok("resume");
    await other.ok("asset", SURFACE);
    await other.close();
    return sameFiles();
  });
  await report.check("a message cancels the run at its next step", async () => {
    await worker.on("structure", "step", { cancel: true });
    const said = await worker.fails("maquette::cancelled", "generate");
    const after = (await worker.seen()).filter(({ stage, kind }) => stage === "structure" && kind === "step").length;
    expect(after <= 2, `${after} steps were made`);
    return said;
  });
  await report.check("a message cancels the finishing of a surface", async () => {
    await worker.on("surface", "step", { cancelAsset: true });
    await worker.fails("maquette::cancelled", "asset", SURFACE);
    const stages = (await worker.seen()).filter(({ kind }) => kind === "finished");
    expect(stages.length === 0, `finished nevertheless: ${JSON.stringify(stages)}`);
  });
  await report.check("a picture that is cancelled right after it was asked for is not drawn", async () => {
    const codes = await worker.ok("stoppedPictures");
    expect(`${codes}` === "maquette::cancelled,maquette::cancelled", `ended with ${codes}`);
  });
  await report.check("errors of the page's own functions come back as they were", async () => {
    const { error } = await worker.call("wrong", "ensure");
    expect(error?.code === "page::network" && error.message === "the network is gone", JSON.stringify(error));
  });
  await report.check("wrong input is refused with a code and help", async () => {
    await worker.fails("maquette::picture::format", "wrong", "picture");
    await worker.fails("maquette::usage", "wrong", "option");
    await worker.fails("maquette::usage", "wrong", "list");
    await worker.fails("maquette::usage", "wrong", "size");
    await worker.fails("maquette::usage", "wrong", "turn");
    await worker.fails("maquette::usage", "wrong", "show");
    await worker.fails("maquette::output::format", "wrong", "format");
    await worker.fails("maquette::model::damaged", "wrong", "pack");
    return worker.fails("maquette::model::damaged", "shortRead");
  });
  await report.check("a picture without an alpha is cut out by the network, and a brush corrects it", async () => {
    const { size, alpha, painted, call } = await worker.ok("matting");
    expect(alpha[1] > 200 && `${painted}` === "0,255", JSON.stringify({ size, alpha, painted }));
    // As the linker has it by default, every call runs the module's constructors first: 200 µs.
    expect(call < 50, `a call of the module took ${call} µs`);
    return `${size}, mask ${alpha}, ${call.toFixed(2)} µs for a call of the module`;
  });
  await report.check("warming the pipelines compares every kernel", async () => {
    const lines = await worker.ok("warm");
    expect(lines.length > 5 && lines.every(({ ok }) => ok), JSON.stringify(lines));
    return `${lines.length} kernels`;
  });
  await report.check("a machine with little memory is told what to do", async () => {
    const other = await open({ memory: 2 });
    const { advice, trial } = await other.ok("facts");
    await other.close();
    expect(trial && advice[0].includes("2 GB of memory"), JSON.stringify(advice));
    return advice[0];
  });
  await report.check("a panic rejects what is under way and everything after it, in words", async () => {
    const outcomes = await worker.ok("fault");
    const good = (error) => error?.code === "maquette::fault" && error.message.includes("a panic that was asked for") && error.help;
    expect(outcomes.length === 5 && outcomes.every(good), JSON.stringify(outcomes));
  });
  await worker.close();

  for (const [name, options, at, cause] of [
    ["no WebGPU", { hide: true }, origin, "no-webgpu"],
    ["an adapter on the blocklist", { blocked: true }, origin, "no-adapter"],
    ["an insecure origin", {}, `http://plain.test:${server.port}`, "insecure"],
  ]) {
    await report.check(`${name} is explained`, async () => {
      const page = await open(options, at);
      const facts = await page.ok("facts");
      expect(facts.cause === cause && facts.reason && facts.advice.length > 0 && !facts.trial, JSON.stringify(facts));
      const said = await page.fails("maquette::gpu::no_adapter", "wrong", "noWebGpu");
      expect(said === facts.reason, `${said} / ${facts.reason}`);
      await page.close();
      return facts.reason;
    });
  }
  if (report.failed) console.log(lines.slice(-40).join("\n"));
} finally {
  await browser.close();
  server.close();
  rmSync(work, { recursive: true, force: true });
}
process.exit(report.finish());

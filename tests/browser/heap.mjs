// How much heap the module needs to load a network of full size: `node heap.mjs <folder of maquette_web> <maquette-weights>`.
//
// The published image encoder (1.2 GB in f32, the largest stage), with random numbers, takes the place of the tiny model's;
// it sees a picture of 28 pixels, so that running it is quick. Not part of the gate: it writes and loads gigabytes.
import { execFileSync } from "node:child_process";
import { cpSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { here, launch, serve } from "./harness.mjs";

const [engine, weights] = process.argv.slice(2);
const root = join(here, "../..");
const goldens = join(root, "tests/goldens/trellis");
const work = mkdtempSync(join(tmpdir(), "maquette-heap-"));
const model = join(work, "large");
cpSync(join(goldens, "model"), model, { recursive: true });
const pipeline = JSON.parse(readFileSync(join(model, "pipeline.json")));
Object.assign(pipeline.args, { image_cond_checkpoint: "ckpts/encoder", image_size: 28 });
rmSync(join(model, "pipeline.json"));
writeFileSync(join(model, "pipeline.json"), JSON.stringify(pipeline));
execFileSync(weights, ["synthesize", "dinov2_vitl14_reg", join(work, "synthetic")], { stdio: "inherit" });
const file = readdirSync(join(work, "synthetic"), { recursive: true }).find((name) => name.endsWith(".safetensors"));
cpSync(join(work, "synthetic", file), join(model, "ckpts/encoder.safetensors"));
const args = { embed_dim: 1024, depth: 24, num_heads: 16, img_size: 518, patch_size: 14, num_register_tokens: 4 };
writeFileSync(join(model, "ckpts/encoder.json"), JSON.stringify({ name: "DinoVisionTransformer", args }));
writeFileSync(join(model, "LICENSE"), "random numbers, free for all\n");
execFileSync(weights, ["pack", "--precision", "f32", "--without", "slat_decoder_rf", model, join(work, "pack")]);

const reference = join(root, "tests/goldens/cli/end_to_end.safetensors");
const server = await serve({ "/engine/": engine, "/pack/": join(work, "pack"), "/goldens/": goldens, "/reference.safetensors": reference });
const browser = await launch();
try {
  const page = await browser.newPage();
  await page.goto(`http://127.0.0.1:${server.port}/engine.html`);
  await page.waitForFunction(() => window.ready);
  const call = (name, ...rest) => page.evaluate(([name, rest]) => window.call(name, ...rest), [name, rest]);
  await page.evaluate(() => window.start());
  await call("open", { precision: "f32" });
  console.log("before", JSON.stringify(await call("memory")));
  await page.evaluate(() => {
    window.onevent = ({ stage, kind }) => {
      if (stage === "encode" && kind === "finished") window.tell({ cancel: true });
    };
  });
  const begun = performance.now();
  const outcome = await call("generate").catch((error) => error.message);
  console.log(`generate ended with: ${outcome.message ?? outcome}, ${((performance.now() - begun) / 1000).toFixed(1)} s`);
  console.log("after", JSON.stringify(await call("memory")), `encoder file ${statSync(join(model, "ckpts/encoder.safetensors")).size} bytes`);
} finally {
  await browser.close();
  server.close();
  rmSync(work, { recursive: true, force: true });
}

// How much heap the module needs to load a network of full size: `node heap.mjs <folder of maquette_web> <maquette-weights>`.
//
// The published image encoder (1.2 GB in f32, the largest stage), with random numbers, takes the place of the tiny model's;
// it sees a picture of 28 pixels, so that running it is quick. Not part of the gate: it writes and loads gigabytes.
import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { goldenModel, goldens, packGolden, root } from "./golden-pack.mjs";
import { launch, serve } from "./harness.mjs";

/** What the module's heap may grow to, in bytes. */
const LIMIT = 500e6;
const [engine, tool] = process.argv.slice(2);
const work = mkdtempSync(join(tmpdir(), "maquette-heap-"));
execFileSync(tool, ["synthesize", "dinov2_vitl14_reg", join(work, "synthetic")], { stdio: "inherit" });
const file = readdirSync(join(work, "synthetic"), { recursive: true }).find((name) => name.endsWith(".safetensors"));
const weights = join(work, "synthetic", file);
const args = () => ({ embed_dim: 1024, depth: 24, num_heads: 16, img_size: 518, patch_size: 14, num_register_tokens: 4 });
packGolden(tool, goldenModel(join(work, "large"), { weights, args }, { image_size: 28 }), join(work, "pack"));

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
    window.seen = [];
    window.onevent = ({ stage, kind }) => window.seen.push(`${stage} ${kind}`);
  });
  const begun = performance.now();
  // The tiny flow does not fit this encoder: the run ends behind it.
  const outcome = await call("generate").catch((error) => error);
  const seconds = ((performance.now() - begun) / 1000).toFixed(1);
  const { heap } = await call("memory");
  const encoded = (await page.evaluate(() => window.seen)).includes("encode finished");
  console.log(`${statSync(weights).size} bytes of encoder, loaded and run: ${encoded} (${seconds} s, then: ${outcome.message?.split("\n")[0]}); heap ${heap} bytes`);
  process.exitCode = encoded && heap <= LIMIT ? 0 : 1;
} finally {
  await browser.close();
  server.close();
  rmSync(work, { recursive: true, force: true });
}

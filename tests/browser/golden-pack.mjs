// The tiny random model of the reference numbers with an encoder inside, as a pack has to have it, and its pack in f32: for
// the checks of the engine, of the page and of the heap.
import { execFileSync } from "node:child_process";
import { copyFileSync, cpSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

export const root = join(dirname(fileURLToPath(import.meta.url)), "../..");
export const goldens = join(root, "tests/goldens/trellis");

const golden = {
  weights: join(goldens, "dinov2/dinov2_tiny_reg4.safetensors"),
  args: () => JSON.parse(readFileSync(join(goldens, "dinov2/config.json"), "utf8")),
};

/** Copies the model to `where`, with the golden encoder or another (`weights`: a file; `args`: its description); `pipeline` adds to `pipeline.json`. */
export function goldenModel(where, { weights, args } = golden, pipeline = {}) {
  rmSync(where, { recursive: true, force: true });
  cpSync(join(goldens, "model"), where, { recursive: true });
  const file = join(where, "pipeline.json");
  const whole = JSON.parse(readFileSync(file, "utf8"));
  Object.assign(whole.args, { image_cond_checkpoint: "ckpts/encoder" }, pipeline);
  // The copy may be as read-only as the original.
  rmSync(file);
  writeFileSync(file, JSON.stringify(whole));
  writeFileSync(join(where, "ckpts/encoder.json"), JSON.stringify({ name: "DinoVisionTransformer", args: args() }));
  copyFileSync(weights, join(where, "ckpts/encoder.safetensors"));
  writeFileSync(join(where, "LICENSE"), "random numbers, free for all\n");
  return where;
}

/** Packs such a model; `tool` is the program `maquette-weights`. The pack is named as the model's folder. */
export function packGolden(tool, model, where) {
  rmSync(where, { recursive: true, force: true });
  execFileSync(tool, ["pack", "--precision", "f32", "--without", "slat_decoder_rf", model, where]);
  return where;
}

// What the tests need: the pack of the tiny random model of the reference numbers, in f32. Its name is that of the folder, because
// finished models carry it.
import { pack } from "./prepare.mjs";

export function tinyPack(where) {
  const encoder = { weights: "tests/goldens/trellis/dinov2/dinov2_tiny_reg4.safetensors", description: "tests/goldens/trellis/dinov2/config.json" };
  pack("tests/goldens/trellis/model", encoder, where, ["--name", "model", "--precision", "f32", "--license", "LICENSE-MIT", "--without", "slat_decoder_rf"]);
}

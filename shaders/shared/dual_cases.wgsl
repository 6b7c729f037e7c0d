// What the 256 sign patterns of a cube mean: two words each from word 8 of `info` on. The first has the edges of patches 0 and
// 1 in 12 bits each and the number of patches above; the second those of patches 2 and 3, and above them the direction of the
// one ambiguous face: 0 for none, else 1 + 2 · axis + (1 towards growing coordinates).
const NO_PATCH: u32 = 0xffffffffu;

fn patches_of(pattern: u32) -> u32 { return info[8u + 2u * pattern] >> 24u; }

fn patch_edges(pattern: u32, patch_index: u32) -> u32 {
  return (info[8u + 2u * pattern + patch_index / 2u] >> (12u * (patch_index & 1u))) & 0xfffu;
}

fn patch_of_edge(pattern: u32, edge: u32) -> u32 {
  for (var k = 0u; k < patches_of(pattern); k++) {
    if (((patch_edges(pattern, k) >> edge) & 1u) == 1u) { return k; }
  }
  return NO_PATCH;
}

fn ambiguous_face(pattern: u32) -> u32 { return info[9u + 2u * pattern] >> 24u; }

// Which rows a workgroup attends with. `info`: heads, dim, scale · log2(e), query tiles a head, groups, common query length
// and common key length (both 0 if lengths differ), –, then for differing lengths the first tile of every group, the query
// offsets and the key offsets (groups + 1 words each).
struct Span { q: u32, q_end: u32, k: u32, k_end: u32 }

fn tile_of(tile: u32, queries: u32) -> Span {
  let count = info[4];
  if (info[5] != 0u) {
    let tiles = (info[5] + queries - 1u) / queries;
    let g = tile / tiles;
    let q = g * info[5];
    return Span(q + (tile - g * tiles) * queries, q + info[5], g * info[6], (g + 1u) * info[6]);
  }
  var low = 0u;
  var high = count;
  while (high - low > 1u) {
    let middle = (low + high) / 2u;
    if (info[8u + middle] <= tile) { low = middle; } else { high = middle; }
  }
  let q = 9u + count + low;
  let k = q + count + 1u;
  return Span(info[q] + (tile - info[8u + low]) * queries, info[q + 1u], info[k], info[k + 1u]);
}

// One entry for every tile that a splat covers in a band of tile rows: tile (counted from the band's first) and Gaussian, in
// depth order. One invocation an entry, so that a splat over the whole picture holds nobody up.
#import workgroup
@group(0) @binding(0) var<storage, read_write> order: array<u32>;
@group(0) @binding(1) var<storage, read_write> splats: array<vec4<u32>>;
// Entries before each splat, in depth order, and the number of entries.
@group(0) @binding(2) var<storage, read_write> offsets: array<u32>;
@group(0) @binding(3) var<storage, read_write> tiles: array<u32>;
@group(0) @binding(4) var<storage, read_write> gaussians: array<u32>;
// Gaussians, first tile row of the band, tile row after the band, entries, tiles in a row.
@group(0) @binding(5) var<storage, read> info: array<u32>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) tid: u32) {
  let entry = linear_workgroup(group, groups) * 256u + tid;
  if (entry >= info[3]) { return; }
  // The last splat that starts at or before the entry; those without entries start at the same place, earlier.
  var low = 0u;
  var high = info[0];
  while (high - low > 1u) {
    let middle = low + (high - low) / 2u;
    if (offsets[middle] <= entry) { low = middle; } else { high = middle; }
  }
  let gaussian = order[low];
  let rect = splats[gaussian * 4u + 3u];
  let place = entry - offsets[low];
  let width = rect.z - rect.x;
  let y = max(rect.y, info[1]) - info[1] + place / width;
  tiles[entry] = y * info[4] + rect.x + place % width;
  gaussians[entry] = gaussian;
}

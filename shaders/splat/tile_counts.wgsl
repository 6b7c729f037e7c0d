// How many tiles of a band of tile rows each splat covers, in depth order.
#import workgroup
@group(0) @binding(0) var<storage, read_write> order: array<u32>;
@group(0) @binding(1) var<storage, read_write> splats: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read_write> counts: array<u32>;
// Gaussians, first tile row of the band, tile row after the band.
@group(0) @binding(3) var<storage, read> info: array<u32>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) tid: u32) {
  let i = linear_workgroup(group, groups) * 256u + tid;
  if (i >= info[0]) { return; }
  let tiles = splats[order[i] * 4u + 3u];
  let low = max(tiles.y, info[1]);
  let high = min(tiles.w, info[2]);
  counts[i] = select(0u, (tiles.z - tiles.x) * (high - low), high > low);
}

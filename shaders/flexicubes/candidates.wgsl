// The cubes that the surface passes through. Only a touched vertex can be inside, so it is enough to look at the cubes around
// each vertex inside, voxels or not; the first inside corner of a cube (in corner order) reports it.
#import workgroup
@group(0) @binding(0) var<storage, read_write> origins: array<u32>;
@group(0) @binding(1) var<storage, read_write> starts: array<u32>;
@group(0) @binding(2) var<storage, read_write> distances: array<f32>;
#if MODE == "count"
@group(0) @binding(3) var<storage, read_write> counts: array<u32>;
#else
@group(0) @binding(3) var<storage, read_write> offsets: array<u32>;
@group(0) @binding(4) var<storage, read_write> keys: array<u32>;
@group(0) @binding(5) var<storage, read_write> patterns: array<u32>;
#end
// Bricks of vertices a side, slots, cubes a side, bits of a coordinate.
@group(0) @binding(${select(MODE == "count", 4, 6)}) var<storage, read> info: array<u32>;
#import cube_corners
#import bricks
#import brick_cells

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) tid: u32) {
  let slot = linear_workgroup(group, groups) * 256u + tid;
  if (slot >= info[1]) { return; }
#if MODE == "count"
  counts[slot] = 0u;
#else
  var to = offsets[slot];
  if (offsets[slot + 1u] == to) { return; }
#end
  if (!(distances[slot] < 0.0)) { return; }
  let p = cell_position(slot, info[0]);
  // Which of the 27 vertices around are inside.
  var inside = 0u;
  for (var k = 0u; k < 27u; k++) {
    let near = slot_of(p + vec3<u32>(k / 9u, k / 3u % 3u, k % 3u) - 1u);
    if (near != ABSENT && distances[near] < 0.0) { inside |= 1u << k; }
  }
  for (var m = 0u; m < 8u; m++) {
    let cube = p - cube_corner(m);
    if (any(cube >= vec3<u32>(info[2]))) { continue; }
    var pattern = 0u;
    for (var n = 0u; n < 8u; n++) {
      let near = cube_corner(n) + 1u - cube_corner(m);
      pattern |= ((inside >> (near.x * 9u + near.y * 3u + near.z)) & 1u) << n;
    }
    if (countTrailingZeros(pattern) != m || pattern == 255u) { continue; }
#if MODE == "count"
    counts[slot] += 1u;
#else
    keys[to] = (cube.x << (2u * info[3])) | (cube.y << info[3]) | cube.z;
    patterns[to] = pattern;
    to += 1u;
#end
  }
}

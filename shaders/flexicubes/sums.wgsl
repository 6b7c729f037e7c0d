// Adds what the voxels of a run of rows say about each grid vertex, in the order of rows, as the definition does: sums of f32
// depend on it, and which faces there are depends on the distances' last bit.
//
// PART "distance": the distance of every vertex, and by how many voxels it is touched. PART "rest": deformation and colours of
// the vertices that the surface needs.
#import workgroup
@group(0) @binding(0) var<storage, read_write> origins: array<u32>;
@group(0) @binding(1) var<storage, read_write> starts: array<u32>;
@group(0) @binding(2) var<storage, read_write> rows: array<u32>;
@group(0) @binding(3) var<storage, read_write> features: array<f32>;
@group(0) @binding(4) var<storage, read_write> sums: array<f32>;
#if PART == "distance"
@group(0) @binding(5) var<storage, read_write> counts: array<u32>;
#else
// How many vertices before each are needed; ten words of `sums` each.
@group(0) @binding(5) var<storage, read_write> needed: array<u32>;
#end
// Bricks a side for cubes and for vertices, slots, first row, first row after, values of a row.
@group(0) @binding(6) var<storage, read> info: array<u32>;
#import cube_corners
#import bricks
#import brick_cells

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) tid: u32) {
  let slot = linear_workgroup(group, groups) * 256u + tid;
  if (slot >= info[2]) { return; }
#if PART == "rest"
  let to = needed[slot];
  if (needed[slot + 1u] == to) { return; }
#end
  let p = cell_position(slot, info[1]);
  // Rows with the corner that the vertex is in them, in ascending order.
  var found = array<u32, 8>();
  var corner = array<u32, 8>();
  var count = 0u;
  for (var m = 0u; m < 8u; m++) {
    let cell = slot_of(p - cube_corner(m));
    if (cell == ABSENT) { continue; }
    let row = rows[cell];
    if (row < info[3] || row >= info[4]) { continue; }
    var at = count;
    while (at > 0u && found[at - 1u] > row) {
      found[at] = found[at - 1u];
      corner[at] = corner[at - 1u];
      at -= 1u;
    }
    found[at] = row;
    corner[at] = m;
    count += 1u;
  }
  for (var k = 0u; k < count; k++) {
    let row = (found[k] - info[3]) * info[5];
    let m = corner[k];
#if PART == "distance"
    sums[slot] += features[row + m];
#else
    for (var j = 0u; j < 3u; j++) { sums[to * 10u + 1u + j] += features[row + 8u + 3u * m + j]; }
    // Decoders without colour leave the last 48 values away.
    if (info[5] > 53u) {
      for (var j = 0u; j < 6u; j++) { sums[to * 10u + 4u + j] += features[row + 53u + 6u * m + j]; }
    }
#end
  }
#if PART == "distance"
  counts[slot] += count;
#end
}

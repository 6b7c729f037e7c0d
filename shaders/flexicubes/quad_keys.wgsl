// The order of quads: those whose edge starts outside first, then by the grid vertex where the edge starts, then y, z, x.
// `high` has x in its lower bits and above them whether the edge starts inside or on the surface; `low` y, z and the axis.
#import workgroup
@group(0) @binding(0) var<storage, read_write> keys: array<u32>;
@group(0) @binding(1) var<storage, read_write> offsets: array<u32>;
@group(0) @binding(2) var<storage, read_write> starts: array<u32>;
@group(0) @binding(3) var<storage, read_write> distances: array<f32>;
@group(0) @binding(4) var<storage, read_write> low: array<u32>;
@group(0) @binding(5) var<storage, read_write> high: array<u32>;
@group(0) @binding(6) var<storage, read_write> items: array<u32>;
@group(0) @binding(7) var<storage, read> info: array<u32>;
#import bricks
#import surface_cubes

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) tid: u32) {
  let at = linear_workgroup(group, groups) * 256u + tid;
  if (at >= 3u * info[1]) { return; }
  let to = offsets[at];
  if (offsets[at + 1u] == to) { return; }
  let axis = at % 3u;
  // x and z edges point to growing coordinates, y edges to falling ones.
  let start = cube_position(keys[at / 3u]) + vec3<u32>(u32(axis != 0u), 1u, u32(axis != 2u));
  let slot = slot_of(start);
  var outside = true;
  if (slot != ABSENT) { outside = distances[slot] > 0.0; }
  let bits = info[3] + 1u;
  low[to] = (start.y << (bits + 2u)) | (start.z << 2u) | ((axis + 2u) % 3u);
  high[to] = (u32(!outside) << bits) | start.x;
  items[to] = at;
}

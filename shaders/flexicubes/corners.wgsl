// The touched grid vertices at the corners of the surface's cubes. MODE "flag" flags them; MODE "emit" tells for every cube and
// each of its corners which of the flagged ones it is, ABSENT where no voxel touches it.
#import workgroup
@group(0) @binding(0) var<storage, read_write> keys: array<u32>;
@group(0) @binding(1) var<storage, read_write> starts: array<u32>;
#if MODE == "flag"
@group(0) @binding(2) var<storage, read_write> counts: array<u32>;
@group(0) @binding(3) var<storage, read_write> flags: array<atomic<u32>>;
#else
@group(0) @binding(2) var<storage, read_write> needed: array<u32>;
@group(0) @binding(3) var<storage, read_write> corners: array<u32>;
#end
@group(0) @binding(4) var<storage, read> info: array<u32>;
#import cube_corners
#import bricks
#import surface_cubes

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) tid: u32) {
  let at = linear_workgroup(group, groups) * 256u + tid;
  if (at >= 8u * info[1]) { return; }
  let slot = slot_of(cube_position(keys[at / 8u]) + cube_corner(at % 8u));
#if MODE == "flag"
  if (slot != ABSENT) {
    if (counts[slot] > 0u) { atomicStore(&flags[slot], 1u); }
  }
#else
  corners[at] = ABSENT;
  if (slot != ABSENT) {
    if (needed[slot + 1u] != needed[slot]) { corners[at] = needed[slot]; }
  }
#end
}

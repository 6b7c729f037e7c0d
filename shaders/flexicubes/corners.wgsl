// For every cube of the surface and each of its corners, which of the needed vertices it is; ABSENT where no voxel touches it.
#import workgroup
@group(0) @binding(0) var<storage, read_write> keys: array<u32>;
@group(0) @binding(1) var<storage, read_write> starts: array<u32>;
@group(0) @binding(2) var<storage, read_write> needed: array<u32>;
@group(0) @binding(3) var<storage, read_write> corners: array<u32>;
@group(0) @binding(4) var<storage, read> info: array<u32>;
#import cube_corners
#import bricks
#import surface_cubes

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) tid: u32) {
  let at = linear_workgroup(group, groups) * 256u + tid;
  if (at >= 8u * info[1]) { return; }
  let slot = slot_of(cube_position(keys[at / 8u]) + cube_corner(at % 8u));
  corners[at] = ABSENT;
  if (slot != ABSENT) {
    if (needed[slot + 1u] != needed[slot]) { corners[at] = needed[slot]; }
  }
}

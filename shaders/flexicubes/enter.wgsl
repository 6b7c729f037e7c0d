// Enters every voxel's row into its cell.
#import workgroup
@group(0) @binding(0) var<storage, read_write> coords: array<u32>;
@group(0) @binding(1) var<storage, read_write> starts: array<u32>;
@group(0) @binding(2) var<storage, read_write> rows: array<u32>;
// Bricks a side, voxels.
@group(0) @binding(3) var<storage, read> info: array<u32>;
#import cube_corners
#import bricks

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) tid: u32) {
  let i = linear_workgroup(group, groups) * 256u + tid;
  if (i >= info[1]) { return; }
  rows[slot_of(voxel_position(coords[i]))] = i;
}

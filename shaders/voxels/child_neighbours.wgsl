// The table of a set whose voxels are each cut in eight, from that of the set: a child's neighbours are children of its
// parent's neighbours. Row 8 p + c is child c = 4 i + 2 j + k of parent p.
#import workgroup
@group(0) @binding(0) var<storage, read_write> parents: array<i32>;
@group(0) @binding(1) var<storage, read_write> rows: array<i32>;
// Number of parents.
@group(0) @binding(2) var<storage, read> info: array<u32>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) tid: u32) {
  let at = linear_workgroup(group, groups) * 256u + tid;
  let voxels = 8u * info[0];
  if (at >= 27u * voxels) { return; }
  let tap = at / voxels;
  let row = at % voxels;
  // Counted from two children before the parent's first, so that nothing is below zero.
  let place = vec3<u32>(row >> 2u, row >> 1u, row) % 2u + vec3<u32>(tap / 9u, tap / 3u % 3u, tap % 3u) + 1u;
  let parent = parents[dot(place / 2u, vec3<u32>(9u, 3u, 1u)) * info[0] + row / 8u];
  let child = dot(place % 2u, vec3<u32>(4u, 2u, 1u));
  rows[at] = select(-1, 8 * parent + i32(child), parent >= 0);
}

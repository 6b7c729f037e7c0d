// Adds the views in which each face is visible to its count [F].
#import workgroup
@group(0) @binding(0) var<storage, read_write> flags: array<u32>;
@group(0) @binding(1) var<storage, read_write> counts: array<u32>;
// Views, faces.
@group(0) @binding(2) var<storage, read> info: array<u32>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) tid: u32) {
  let face = linear_workgroup(group, groups) * 256u + tid;
  if (face >= info[1]) { return; }
  var sum = counts[face];
  for (var view = 0u; view < info[0]; view++) { sum += flags[view * info[1] + face]; }
  counts[face] = sum;
}

// Marks the faces that own a pixel: flags [views, F].
#import workgroup
@group(0) @binding(0) var<storage, read_write> ids: array<u32>;
@group(0) @binding(1) var<storage, read_write> flags: array<atomic<u32>>;
// Views, pixels of a view, faces.
@group(0) @binding(2) var<storage, read> info: array<u32>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) tid: u32) {
  let at = linear_workgroup(group, groups) * 256u + tid;
  if (at >= info[0] * info[1]) { return; }
  if (ids[at] > 0u) { atomicStore(&flags[at / info[1] * info[2] + ids[at] - 1u], 1u); }
}

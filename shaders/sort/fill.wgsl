// y[i] = start + i · step.
#import workgroup
@group(0) @binding(0) var<storage, read_write> y: array<u32>;
// Length, start, step.
@group(0) @binding(1) var<storage, read> info: array<u32>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) tid: u32) {
  let i = linear_workgroup(group, groups) * 256u + tid;
  if (i < info[0]) { y[i] = info[1] + i * info[2]; }
}

// The places of the bricks that exist.
#import workgroup
@group(0) @binding(0) var<storage, read_write> starts: array<u32>;
@group(0) @binding(1) var<storage, read_write> origins: array<u32>;
// Places.
@group(0) @binding(2) var<storage, read> info: array<u32>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) tid: u32) {
  let i = linear_workgroup(group, groups) * 256u + tid;
  if (i < info[0] && starts[i + 1u] != starts[i]) { origins[starts[i]] = i; }
}

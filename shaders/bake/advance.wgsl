// Takes one channel's step and looks ahead: chain = next + share · momentum · (next − texture), texture = next.
#import workgroup
@group(0) @binding(0) var<storage, read_write> chain: array<f32>;
@group(0) @binding(1) var<storage, read_write> texture: array<f32>;
@group(0) @binding(2) var<storage, read_write> next: array<f32>;
@group(0) @binding(3) var<storage, read_write> shares: array<f32>;
// Texels, momentum.
@group(0) @binding(4) var<storage, read> info: array<u32>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) tid: u32) {
  let i = linear_workgroup(group, groups) * 256u + tid;
  if (i >= info[0]) { return; }
  let now = next[i];
  chain[i] = now + shares[i] * bitcast<f32>(info[1]) * (now - texture[i]);
  texture[i] = now;
}

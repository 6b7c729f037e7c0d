// One level of the chains of three channels from the level below: means of 2×2 texels.
#import workgroup
#import mip_chain
@group(0) @binding(0) var<storage, read_write> red: array<f32>;
@group(0) @binding(1) var<storage, read_write> green: array<f32>;
@group(0) @binding(2) var<storage, read_write> blue: array<f32>;
// Side of the texture, level.
@group(0) @binding(3) var<storage, read> info: array<u32>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) tid: u32) {
  let i = linear_workgroup(group, groups) * 256u + tid;
  let n = info[0] >> info[1];
  if (i >= n * n) { return; }
  let to = chain_start(info[0], info[1]) + i;
  let a = chain_start(info[0], info[1] - 1u) + (i / n) * 4u * n + i % n * 2u;
  let b = a + 2u * n;
  red[to] = 0.25 * (red[a] + red[a + 1u] + red[b] + red[b + 1u]);
  green[to] = 0.25 * (green[a] + green[a + 1u] + green[b] + green[b + 1u]);
  blue[to] = 0.25 * (blue[a] + blue[a + 1u] + blue[b] + blue[b + 1u]);
}

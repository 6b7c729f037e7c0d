// The transpose of the chain's construction, one level: turns its whole-number sums into floats and adds a quarter of the
// (already folded) parent. In place.
#import workgroup
#import mip_chain
@group(0) @binding(0) var<storage, read_write> pulls: array<u32>;
@group(0) @binding(1) var<storage, read_write> weights: array<u32>;
// Side of the texture, level, value of a unit of `pulls`, of `weights`.
@group(0) @binding(2) var<storage, read> info: array<u32>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) tid: u32) {
  let i = linear_workgroup(group, groups) * 256u + tid;
  let n = info[0] >> info[1];
  if (i >= n * n) { return; }
  let at = chain_start(info[0], info[1]) + i;
  var pull = f32(bitcast<i32>(pulls[at])) * bitcast<f32>(info[2]);
  var weight = f32(weights[at]) * bitcast<f32>(info[3]);
  if (n > 1u) {
    let parent = chain_start(info[0], info[1] + 1u) + (i / n / 2u) * (n / 2u) + i % n / 2u;
    pull += 0.25 * bitcast<f32>(pulls[parent]);
    weight += 0.25 * bitcast<f32>(weights[parent]);
  }
  pulls[at] = bitcast<u32>(pull);
  weights[at] = bitcast<u32>(weight);
}

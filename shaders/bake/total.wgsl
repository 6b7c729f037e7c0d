// Sums of runs of 4096 words, in a fixed order: results must not depend on which reduction a runtime prefers today.
#import workgroup
#import sum256
@group(0) @binding(0) var<storage, read_write> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> sums: array<f32>;
// Length of x, first word of `sums`.
@group(0) @binding(2) var<storage, read> info: array<u32>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) tid: u32) {
  let block = linear_workgroup(group, groups);
  if (block * 4096u >= info[0]) { return; }
  var sum = 0.0;
  for (var k = 0u; k < 16u; k++) {
    let i = block * 4096u + k * 256u + tid;
    if (i < info[0]) { sum += x[i]; }
  }
  let all = sum256(sum, tid);
  if (tid == 0u) { sums[info[1] + block] = all; }
}

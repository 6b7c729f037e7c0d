// First step of the prefix sum: the sum of every block of 2048 words.
#import workgroup
#import scan256
@group(0) @binding(0) var<storage, read_write> x: array<u32>;
@group(0) @binding(1) var<storage, read_write> sums: array<u32>;
// Length of x.
@group(0) @binding(2) var<storage, read> info: array<u32>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) tid: u32) {
  let block = linear_workgroup(group, groups);
  if (block >= (info[0] + 2047u) / 2048u) { return; }
  var sum = 0u;
  for (var k = 0u; k < 8u; k++) {
    let i = block * 2048u + k * 256u + tid;
    if (i < info[0]) { sum += x[i]; }
  }
  _ = scan256(sum, tid);
  if (tid == 0u) { sums[block] = scan_total; }
}

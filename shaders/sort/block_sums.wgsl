// First step of the prefix sum: the sum of every block of 2048 words. SUB as in scan256.
#import workgroup
#import scan256
@group(0) @binding(0) var<storage, read_write> x: array<u32>;
@group(0) @binding(1) var<storage, read_write> sums: array<u32>;
// Length of x.
@group(0) @binding(2) var<storage, read> info: array<u32>;

@compute @workgroup_size(256)
#if SUB
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(subgroup_id) subgroup: u32, @builtin(subgroup_size) lanes: u32, @builtin(subgroup_invocation_id) lane: u32) {
  // Whichever invocations a subgroup is made of, its lanes are neighbours here.
  let tid = subgroup * lanes + lane;
#else
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) tid: u32) {
#end
  let block = linear_workgroup(group, groups);
  if (block >= (info[0] + 2047u) / 2048u) { return; }
  var sum = 0u;
  for (var k = 0u; k < 8u; k++) {
    let i = block * 2048u + k * 256u + tid;
    if (i < info[0]) { sum += x[i]; }
  }
#if SUB
  _ = scan_subgroups(subgroupAdd(sum), tid, lanes);
#else
  _ = scan256(sum, tid, 1u);
#end
  if (tid == 0u) { sums[block] = scan_total; }
}

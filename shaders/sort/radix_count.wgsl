// How often each value of a 4-bit digit occurs in every block of 2048 keys: counts[digit · blocks + block].
#import workgroup
@group(0) @binding(0) var<storage, read_write> keys: array<u32>;
@group(0) @binding(1) var<storage, read_write> counts: array<u32>;
// Number of keys, shift of the digit.
@group(0) @binding(2) var<storage, read> info: array<u32>;

// Sixteen copies, so that equal digits of neighbouring invocations do not queue for one counter.
var<workgroup> bins: array<atomic<u32>, 256>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) tid: u32) {
  let block = linear_workgroup(group, groups);
  let blocks = (info[0] + 2047u) / 2048u;
  if (block >= blocks) { return; }
  atomicStore(&bins[tid], 0u);
  workgroupBarrier();
  for (var k = 0u; k < 8u; k++) {
    let i = block * 2048u + k * 256u + tid;
    if (i < info[0]) { atomicAdd(&bins[((keys[i] >> info[1]) & 15u) * 16u + tid % 16u], 1u); }
  }
  workgroupBarrier();
  if (tid < 16u) {
    var sum = 0u;
    for (var k = 0u; k < 16u; k++) { sum += atomicLoad(&bins[tid * 16u + k]); }
    counts[tid * blocks + block] = sum;
  }
}

// How often each value of a 4-bit digit occurs in every block of 2048 keys: counts[digit · blocks + block].
//
// SUB 1: invocations count in registers and subgroups add (any size, 4 to 128), 0: atomics in workgroup memory.
#import workgroup
@group(0) @binding(0) var<storage, read_write> keys: array<u32>;
@group(0) @binding(1) var<storage, read_write> counts: array<u32>;
// Number of keys, shift of the digit.
@group(0) @binding(2) var<storage, read> info: array<u32>;

#if SUB
// Of every subgroup; digits d and d + 4, d + 8 and d + 12 share a word, d below 4.
var<workgroup> bins: array<array<vec4<u32>, 2>, 64>;
#else
// Sixteen copies, so that equal digits of neighbouring invocations do not queue for one counter.
var<workgroup> bins: array<atomic<u32>, 256>;
#end

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
  let blocks = (info[0] + 2047u) / 2048u;
  if (block >= blocks) { return; }
#if SUB
  // Four bits for each digit of the eight keys of an invocation, which may be eight times the same: digits 0 to 7, 8 to 15.
  var mine = vec2<u32>();
#for k in 0..8
  let at${k} = block * 2048u + ${k * 256}u + tid;
  let digit${k} = (keys[min(at${k}, info[0] - 1u)] >> info[1]) & 15u;
#end
#for k in 0..8
  let one${k} = select(0u, 1u << (digit${k} % 8u * 4u), at${k} < info[0]);
  mine += select(vec2<u32>(one${k}, 0u), vec2<u32>(0u, one${k}), digit${k} >= 8u);
#end
  let apart = vec4<u32>(0u, 4u, 8u, 12u);
  let lower = subgroupAdd((vec4<u32>(mine.x) >> apart) & vec4<u32>(0x000f000fu));
  let upper = subgroupAdd((vec4<u32>(mine.y) >> apart) & vec4<u32>(0x000f000fu));
  if (lane == 0u) {
    bins[subgroup][0] = lower;
    bins[subgroup][1] = upper;
  }
  workgroupBarrier();
  if (tid < 16u) {
    var sum = 0u;
    for (var i = 0u; i < 256u / lanes; i++) { sum += (bins[i][tid / 8u][tid % 4u] >> (tid / 4u % 2u * 16u)) & 0xffffu; }
    counts[tid * blocks + block] = sum;
  }
#else
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
#end
}

// Last step of the prefix sum: y[i] = sum of x[0..i], and y[length] = the sum of all. A block is 2048 words; with SUMS the
// (already scanned) sum of the blocks before it is added. SUB as in scan256.
#import workgroup
#import scan256
@group(0) @binding(0) var<storage, read_write> x: array<u32>;
@group(0) @binding(1) var<storage, read_write> y: array<u32>;
#if SUMS
@group(0) @binding(2) var<storage, read_write> sums: array<u32>;
#end
// Length of x.
@group(0) @binding(${2 + SUMS}) var<storage, read> info: array<u32>;

#if SUB == 0
var<workgroup> items: array<u32, 2048>;
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
  let length = info[0];
  if (block >= (length + 2047u) / 2048u) { return; }
#if SUB
  // A subgroup takes neighbouring words, as many at once as it has lanes, and hands on their sum.
  let first = block * 2048u + subgroup * lanes * 8u + lane;
  var sum = 0u;
#for k in 0..8
  let at${k} = first + ${k}u * lanes;
  let item${k} = select(0u, x[min(at${k}, length - 1u)], at${k} < length);
#end
#for k in 0..8
  let upto${k} = sum + subgroupInclusiveAdd(item${k});
  sum = subgroupShuffle(upto${k}, lanes - 1u);
#end
  var before = scan_subgroups(sum, tid, lanes);
#if SUMS
  before += sums[block];
#end
#for k in 0..8
  if (at${k} < length) { y[at${k}] = before + upto${k} - item${k}; }
  // Only the last item of all ends here.
  if (at${k} + 1u == length) { y[length] = before + upto${k}; }
#end
#else
  for (var k = 0u; k < 8u; k++) {
    let i = block * 2048u + k * 256u + tid;
    items[k * 256u + tid] = select(0u, x[min(i, length - 1u)], i < length);
  }
  workgroupBarrier();
  var sum = 0u;
  for (var k = 0u; k < 8u; k++) { sum += items[tid * 8u + k]; }
  var before = scan256(sum, tid, 1u);
#if SUMS
  before += sums[block];
#end
  for (var k = 0u; k < 8u; k++) {
    let item = items[tid * 8u + k];
    items[tid * 8u + k] = before;
    before += item;
    // Only the last item of all ends here.
    if (block * 2048u + tid * 8u + k + 1u == length) { y[length] = before; }
  }
  workgroupBarrier();
  for (var k = 0u; k < 8u; k++) {
    let i = block * 2048u + k * 256u + tid;
    if (i < length) { y[i] = items[k * 256u + tid]; }
  }
#end
}

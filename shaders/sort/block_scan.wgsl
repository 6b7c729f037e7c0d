// Last step of the prefix sum: y[i] = sum of x[0..i], and y[length] = the sum of all. A block is 2048 words; with SUMS the
// (already scanned) sum of the blocks before it is added.
#import workgroup
#import scan256
@group(0) @binding(0) var<storage, read_write> x: array<u32>;
@group(0) @binding(1) var<storage, read_write> y: array<u32>;
#if SUMS
@group(0) @binding(2) var<storage, read_write> sums: array<u32>;
#end
// Length of x.
@group(0) @binding(${2 + SUMS}) var<storage, read> info: array<u32>;

var<workgroup> items: array<u32, 2048>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) tid: u32) {
  let block = linear_workgroup(group, groups);
  let length = info[0];
  if (block >= (length + 2047u) / 2048u) { return; }
  for (var k = 0u; k < 8u; k++) {
    let i = block * 2048u + k * 256u + tid;
    items[k * 256u + tid] = select(0u, x[min(i, length - 1u)], i < length);
  }
  workgroupBarrier();
  var sum = 0u;
  for (var k = 0u; k < 8u; k++) { sum += items[tid * 8u + k]; }
  var before = scan256(sum, tid);
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
}

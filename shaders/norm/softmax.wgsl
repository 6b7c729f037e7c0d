// Softmax over rows of x [M, C], f32 inside. T element type; SUB 1: one row to a subgroup of any size, 0: one row to 64
// invocations that meet in workgroup memory.
#import workgroup
#let LANES = 64
@group(0) @binding(0) var<storage, read_write> x: array<${T}>;
@group(0) @binding(1) var<storage, read_write> y: array<${T}>;
// M, C.
@group(0) @binding(2) var<storage, read> info: array<u32>;

#if SUB == 0
var<workgroup> parts: array<f32, 256>;
#end

@compute @workgroup_size(256)
#if SUB
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(subgroup_id) subgroup: u32, @builtin(subgroup_size) lanes: u32, @builtin(subgroup_invocation_id) lane: u32) {
  let row = linear_workgroup(group, groups) * (256u / lanes) + subgroup;
#else
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) tid: u32) {
  let row = linear_workgroup(group, groups) * 4u + tid / ${LANES}u;
  let lanes = ${LANES}u;
  let lane = tid % ${LANES}u;
  let first = tid - lane;
#end
  let width = info[1];
  let start = min(row, info[0] - 1u) * width;
  var top = -3.4e38;
  for (var c = lane; c < width; c += lanes) { top = max(top, f32(x[start + c])); }
#if SUB
  top = subgroupMax(top);
#else
  parts[tid] = top;
  workgroupBarrier();
  for (var i = 0u; i < ${LANES}u; i++) { top = max(top, parts[first + i]); }
  workgroupBarrier();
#end
  var sum = 0.0;
  for (var c = lane; c < width; c += lanes) { sum += exp(f32(x[start + c]) - top); }
#if SUB
  sum = subgroupAdd(sum);
#else
  parts[tid] = sum;
  workgroupBarrier();
  sum = 0.0;
  for (var i = 0u; i < ${LANES}u; i++) { sum += parts[first + i]; }
#end
  if (row >= info[0]) { return; }
  for (var c = lane; c < width; c += lanes) { y[start + c] = ${T}(exp(f32(x[start + c]) - top) / sum); }
}

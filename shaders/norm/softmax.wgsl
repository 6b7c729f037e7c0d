// Softmax over rows of x [M, C], 64 invocations a row, f32 inside. T element type.
#import workgroup
#let LANES = 64
@group(0) @binding(0) var<storage, read_write> x: array<${T}>;
@group(0) @binding(1) var<storage, read_write> y: array<${T}>;
// M, C.
@group(0) @binding(2) var<storage, read> info: array<u32>;

var<workgroup> parts: array<f32, 256>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) tid: u32) {
  let row = linear_workgroup(group, groups) * 4u + tid / ${LANES}u;
  let lane = tid % ${LANES}u;
  let first = tid / ${LANES}u * ${LANES}u;
  let width = info[1];
  let start = min(row, info[0] - 1u) * width;
  var top = -3.4e38;
  for (var c = lane; c < width; c += ${LANES}u) { top = max(top, f32(x[start + c])); }
  parts[tid] = top;
  workgroupBarrier();
  for (var i = 0u; i < ${LANES}u; i++) { top = max(top, parts[first + i]); }
  workgroupBarrier();
  var sum = 0.0;
  for (var c = lane; c < width; c += ${LANES}u) { sum += exp(f32(x[start + c]) - top); }
  parts[tid] = sum;
  workgroupBarrier();
  if (row >= info[0]) { return; }
  sum = 0.0;
  for (var i = 0u; i < ${LANES}u; i++) { sum += parts[first + i]; }
  for (var c = lane; c < width; c += ${LANES}u) { y[start + c] = ${T}(exp(f32(x[start + c]) - top) / sum); }
}

// Layer norm over rows of x [M, C]: plain, affine (f32 weight and bias [C]) or modulated ((1 + scale), shift [groups, C]).
// Statistics in f32, mean first, then the variance around it.
//
// T element type; S type of scale and shift; WIDE 1: C is a multiple of 4, which are loaded at once (neighbouring lanes
// neighbouring fours, where 16 bytes a lane were slower); HELD 1: a row fits the registers of its lanes, 0: it
// is read three times; SUB 1: one row to a subgroup of any size, 0: one row to 32 invocations that add through workgroup memory.
#import workgroup
#let E = select(WIDE, 4, 1)
#let UNITS = 8
#let ELEMENT = select(WIDE, select(T == "f16", "vec4<f16>", "vec4<f32>"), T)
#let FACTOR = select(WIDE, select(S == "f16", "vec4<f16>", "vec4<f32>"), S)
@group(0) @binding(0) var<storage, read_write> x: array<${ELEMENT}>;
#let NEXT = 1
#if MODE != "plain"
@group(0) @binding(1) var<storage, read_write> scale: array<${FACTOR}>;
@group(0) @binding(2) var<storage, read_write> shift: array<${FACTOR}>;
#let NEXT = 3
#end
@group(0) @binding(${NEXT}) var<storage, read_write> y: array<${ELEMENT}>;
// M, C, eps, groups of rows …
@group(0) @binding(${NEXT + 1}) var<storage, read> info: array<u32>;
#let GROUPS = 3
#if MODE == "modulate"
#import groups
#end

// A unit of a row in f32.
#let UNIT = select(WIDE, "vec4<f32>", "f32")

fn total(u: ${UNIT}) -> f32 {
  return ${select(WIDE, "dot(u, vec4<f32>(1.0))", "u")};
}

fn squares(u: ${UNIT}) -> f32 {
  return ${select(WIDE, "dot(u, u)", "u * u")};
}

// A unit of the result from its normalised value.
#if MODE == "plain"
fn finish(u: ${UNIT}) -> ${ELEMENT} {
  return ${ELEMENT}(u);
}
#else
fn finish(u: ${UNIT}, by: ${FACTOR}, plus: ${FACTOR}) -> ${ELEMENT} {
  return ${ELEMENT}(u * (${UNIT}(by)${select(MODE == "modulate", " + 1.0", "")}) + ${UNIT}(plus));
}
#end

#if SUB
#let THREADS = 128
fn row_sum(part: f32, tid: u32) -> f32 {
  return subgroupAdd(part);
}
#else
#let THREADS = 128
#let LANES = 32
var<workgroup> parts: array<f32, ${THREADS}>;
var<workgroup> quarters: array<f32, ${THREADS}>;

// The sum over the 32 invocations of a row, in every one of them: each adds eight, then four of these sums.
fn row_sum(part: f32, tid: u32) -> f32 {
  parts[tid] = part;
  workgroupBarrier();
  let first = tid / 32u * 32u;
  var sum = 0.0;
  for (var i = 0u; i < 8u; i++) { sum += parts[first + tid % 4u + i * 4u]; }
  quarters[tid] = sum;
  workgroupBarrier();
  return quarters[first] + quarters[first + 1u] + quarters[first + 2u] + quarters[first + 3u];
}
#end

@compute @workgroup_size(${THREADS})
#if SUB
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) tid: u32,
  @builtin(subgroup_id) subgroup: u32, @builtin(subgroup_size) lanes: u32, @builtin(subgroup_invocation_id) lane: u32) {
  let row = linear_workgroup(group, groups) * (${THREADS}u / lanes) + subgroup;
#else
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) tid: u32) {
  let row = linear_workgroup(group, groups) * ${THREADS / LANES}u + tid / 32u;
  let lanes = 32u;
  let lane = tid % 32u;
#end
  let width = info[1] / ${E}u;
  // Surplus invocations repeat the last row: the sums need everyone.
  let start = min(row, info[0] - 1u) * width;
  let count = f32(info[1]);
  let eps = bitcast<f32>(info[2]);
#if HELD
  var sum = 0.0;
#for i in 0..UNITS
  let c${i} = lane + ${i}u * lanes;
  var u${i} = ${UNIT}();
  if (c${i} < width) { u${i} = ${UNIT}(x[start + c${i}]); }
#end
#for i in 0..UNITS
  sum += total(u${i});
#end
#if MODE == "modulate"
  let factors = group_of(min(row, info[0] - 1u)) * width;
#else
  let factors = 0u;
#end
#if MODE != "plain"
  // All of them before the first store, which might change them for all that the compiler knows: each would wait for the last.
#for i in 0..UNITS
  var by${i} = ${FACTOR}();
  var plus${i} = ${FACTOR}();
  if (c${i} < width) {
    by${i} = scale[factors + c${i}];
    plus${i} = shift[factors + c${i}];
  }
#end
#end
  let mean = row_sum(sum, tid) / count;
  var spread = 0.0;
#for i in 0..UNITS
  u${i} -= mean;
  spread += select(0.0, squares(u${i}), c${i} < width);
#end
#if SUB == 0
  workgroupBarrier();
#end
  let factor = 1.0 / sqrt(row_sum(spread, tid) / count + eps);
  if (row >= info[0]) { return; }
#for i in 0..UNITS
#if MODE == "plain"
  if (c${i} < width) { y[start + c${i}] = finish(u${i} * factor); }
#else
  if (c${i} < width) { y[start + c${i}] = finish(u${i} * factor, by${i}, plus${i}); }
#end
#end
#else
  var sum = 0.0;
  for (var c = lane; c < width; c += lanes) { sum += total(${UNIT}(x[start + c])); }
  let mean = row_sum(sum, tid) / count;
  var spread = 0.0;
  for (var c = lane; c < width; c += lanes) { spread += squares(${UNIT}(x[start + c]) - mean); }
#if SUB == 0
  workgroupBarrier();
#end
  let factor = 1.0 / sqrt(row_sum(spread, tid) / count + eps);
  if (row >= info[0]) { return; }
#if MODE == "plain"
  for (var c = lane; c < width; c += lanes) { y[start + c] = finish((${UNIT}(x[start + c]) - mean) * factor); }
#else
#if MODE == "modulate"
  let factors = group_of(row) * width;
#else
  let factors = 0u;
#end
  for (var c = lane; c < width; c += lanes) {
    y[start + c] = finish((${UNIT}(x[start + c]) - mean) * factor, scale[factors + c], shift[factors + c]);
  }
#end
#end
}

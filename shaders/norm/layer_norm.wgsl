// Layer norm over rows of x [M, C]: plain, affine (f32 weight and bias [C]) or modulated ((1 + scale), shift [groups, C]).
// Statistics in f32, mean first, then the variance around it.
//
// T element type; S type of scale and shift; WIDE 1: C is a multiple of the elements in 16 bytes, which are loaded at once;
// HELD 1: a row fits the registers of its lanes, 0: it is read three times; SUB 1: one row to a subgroup of any size, 0: one
// row to 32 invocations that add through workgroup memory.
#import workgroup
#let E = select(WIDE, select(T == "f16", 8, 4), 1)
#let FOURS = E / 4
#let UNITS = select(E == 4, 8, 4)
#let ELEMENT = select(E == 8, "Eight", select(E == 4, "vec4<f32>", T))
#let FACTOR = select(WIDE, select(S == "f16", "Eight", "vec4<f32>"), S)
// Factors a unit of x takes.
#let STEPS = select(E == 8 && S == "f32", 2, 1)
#if E == 8
struct Eight { a: vec4<f16>, b: vec4<f16> }
#end
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

// A unit of a row in f32; a single element is kept in the first component, beside zeros.
struct Unit {
  v0: vec4<f32>,
#if E == 8
  v1: vec4<f32>,
#end
}

fn load(at: u32) -> Unit {
#if E == 8
  let packed = x[at];
  return Unit(vec4<f32>(packed.a), vec4<f32>(packed.b));
#elif E == 4
  return Unit(x[at]);
#else
  return Unit(vec4<f32>(f32(x[at]), 0.0, 0.0, 0.0));
#end
}

fn total(u: Unit) -> f32 {
#if E == 8
  let v = u.v0 + u.v1;
  return v.x + v.y + v.z + v.w;
#elif E == 4
  return u.v0.x + u.v0.y + u.v0.z + u.v0.w;
#else
  return u.v0.x;
#end
}

fn less(u: Unit, mean: f32) -> Unit {
#if E == 8
  return Unit(u.v0 - mean, u.v1 - mean);
#elif E == 4
  return Unit(u.v0 - mean);
#else
  return Unit(vec4<f32>(u.v0.x - mean, 0.0, 0.0, 0.0));
#end
}

fn squares(u: Unit) -> f32 {
#if E == 8
  return dot(u.v0, u.v0) + dot(u.v1, u.v1);
#else
  return dot(u.v0, u.v0);
#end
}

#if MODE != "plain"
#for N in 0..2
#let NAME = select(N == 0, "scale", "shift")
fn ${NAME}_of(unit: u32) -> Unit {
#if STEPS == 2
  return Unit(${NAME}[unit * 2u], ${NAME}[unit * 2u + 1u]);
#elif E == 8
  let packed = ${NAME}[unit];
  return Unit(vec4<f32>(packed.a), vec4<f32>(packed.b));
#elif E == 4
  return Unit(${NAME}[unit]);
#else
  return Unit(vec4<f32>(f32(${NAME}[unit])));
#end
}
#end
#end

fn store(at: u32, u: Unit, factor: f32, factors: u32) {
  var v0 = u.v0 * factor;
#if E == 8
  var v1 = u.v1 * factor;
#end
#if MODE != "plain"
  let by = scale_of(factors);
  let plus = shift_of(factors);
#if MODE == "modulate"
  v0 = v0 * (by.v0 + 1.0) + plus.v0;
#if E == 8
  v1 = v1 * (by.v1 + 1.0) + plus.v1;
#end
#else
  v0 = v0 * by.v0 + plus.v0;
#if E == 8
  v1 = v1 * by.v1 + plus.v1;
#end
#end
#end
#if E == 8
  y[at] = Eight(vec4<f16>(v0), vec4<f16>(v1));
#elif E == 4
  y[at] = v0;
#else
  y[at] = ${T}(v0.x);
#end
}

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
#if MODE == "modulate"
  let factors = group_of(min(row, info[0] - 1u)) * width;
#else
  let factors = 0u;
#end
#if HELD
  var sum = 0.0;
#for i in 0..UNITS
  let c${i} = lane + ${i}u * lanes;
  var u${i} = Unit();
  if (c${i} < width) { u${i} = load(start + c${i}); }
#end
#for i in 0..UNITS
  sum += total(u${i});
#end
  let mean = row_sum(sum, tid) / count;
  var spread = 0.0;
#for i in 0..UNITS
  u${i} = less(u${i}, mean);
  spread += select(0.0, squares(u${i}), c${i} < width);
#end
#if SUB == 0
  workgroupBarrier();
#end
  let factor = 1.0 / sqrt(row_sum(spread, tid) / count + eps);
  if (row >= info[0]) { return; }
#for i in 0..UNITS
  if (c${i} < width) { store(start + c${i}, u${i}, factor, factors + c${i}); }
#end
#else
  var sum = 0.0;
  for (var c = lane; c < width; c += lanes) { sum += total(load(start + c)); }
  let mean = row_sum(sum, tid) / count;
  var spread = 0.0;
  for (var c = lane; c < width; c += lanes) { spread += squares(less(load(start + c), mean)); }
#if SUB == 0
  workgroupBarrier();
#end
  let factor = 1.0 / sqrt(row_sum(spread, tid) / count + eps);
  if (row >= info[0]) { return; }
  for (var c = lane; c < width; c += lanes) { store(start + c, less(load(start + c), mean), factor, factors + c); }
#end
}

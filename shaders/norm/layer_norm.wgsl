// Layer norm over rows of x [M, C]: plain, affine (f32 weight and bias [C]) or modulated ((1 + scale), shift [groups, C]).
// Statistics in f32, mean first, then the variance around it.
//
// T element type; S type of scale and shift; WIDE 1: C is a multiple of four elements, a unit, which are loaded at once; HELD 8
// or 6: a row is exactly so many units of each of its lanes, which keep them in registers, 1: eight at most, 0: it is read three
// times; ROWS 2: lanes take two rows one after the other; MANY 1: rows have several groups of factors; SUB 1: one row to a subgroup of any size, 0: one row to 32 invocations
// that add through workgroup memory.
//
// Tensors share buffers, so bindings are writable and no load passes an earlier store. Factors of 16 bits are therefore read
// before the first store, and serve both rows; those of 32 bits would cost so many registers that fewer rows are on their way,
// and are read where they are used.
#import workgroup
#let E = select(WIDE, 4, 1)
#let UNITS = select(HELD == 6, 6, 8)
#let EARLY = S == "f16" && HELD > 1
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
#if MANY
#import groups
#end

// A unit of a row; a single element is kept in the first component, beside zeros.
fn load(at: u32) -> vec4<f32> {
#if WIDE
  return vec4<f32>(x[at]);
#else
  return vec4<f32>(f32(x[at]), 0.0, 0.0, 0.0);
#end
}

fn total(u: vec4<f32>) -> f32 {
  return dot(u, vec4<f32>(1.0));
}

fn less(u: vec4<f32>, mean: f32) -> vec4<f32> {
#if WIDE
  return u - mean;
#else
  return vec4<f32>(u.x - mean, 0.0, 0.0, 0.0);
#end
}

fn squares(u: vec4<f32>) -> f32 {
  return dot(u, u);
}

#if MODE != "plain"
fn scaled(u: vec4<f32>, factor: f32, scale: ${FACTOR}, shift: ${FACTOR}) -> vec4<f32> {
  let by = vec4<f32>(${select(WIDE, "scale", "f32(scale)")});
#if MODE == "modulate"
  return fma(u, fma(by, vec4<f32>(factor), vec4<f32>(factor)), vec4<f32>(${select(WIDE, "shift", "f32(shift)")}));
#else
  return fma(u, by * factor, vec4<f32>(${select(WIDE, "shift", "f32(shift)")}));
#end
}
#end

fn store(at: u32, u: vec4<f32>, factor: f32, factors: u32) {
#if MODE == "plain"
  let v = u * factor;
#else
  let v = scaled(u, factor, scale[factors], shift[factors]);
#end
  y[at] = ${ELEMENT}(v${select(WIDE, "", ".x")});
}

#let THREADS = 128
#if SUB
fn row_sum(part: f32, tid: u32) -> f32 {
  return subgroupAdd(part);
}
#else
#let LANES = 32
var<workgroup> parts: array<f32, ${THREADS}>;
var<workgroup> quarters: array<f32, ${THREADS}>;

// The sum over the 32 invocations of a row, in every one of them: each adds eight, then four of these sums. The barriers between
// keep a sum's values from the next one's, too: whoever writes `quarters` again has passed one after everybody read them.
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
  let row0 = (linear_workgroup(group, groups) * (${THREADS}u / lanes) + subgroup) * ${ROWS}u;
#else
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) tid: u32) {
  let row0 = (linear_workgroup(group, groups) * ${THREADS / LANES}u + tid / 32u) * ${ROWS}u;
  let lanes = 32u;
  let lane = tid % 32u;
#end
#if HELD > 1
  let width = ${HELD}u * lanes;
#else
  let width = info[1] / ${E}u;
#end
  let count = f32(${select(HELD > 1, "width * 4u", "info[1]")});
  let eps = bitcast<f32>(info[2]);
  // Surplus invocations repeat the last row: the sums need everyone.
  let last = info[0] - 1u;
  let start0 = min(row0, last) * width;
#if ROWS == 2
  let row1 = row0 + 1u;
  let start1 = min(row1, last) * width;
#end
#for r in 0..ROWS
  var factors${r} = 0u;
#if MANY
  factors${r} = group_of(min(row${r}, last)) * width;
#end
#end
#if HELD
#for i in 0..UNITS
  let c${i} = lane + ${i}u * lanes;
#end
#for r in 0..ROWS
#for i in 0..UNITS
#if HELD == 1
  var x${r}_${i} = ${ELEMENT}();
  if (c${i} < width) { x${r}_${i} = x[start${r} + c${i}]; }
#else
  let x${r}_${i} = x[start${r} + c${i}];
#end
#end
#end
#if EARLY
#for i in 0..UNITS
  var scale${i} = scale[factors0 + c${i}];
  var shift${i} = shift[factors0 + c${i}];
#end
#end
#for r in 0..ROWS
  {
#for i in 0..UNITS
    var u${i} = vec4<f32>(x${r}_${i});
#end
    var whole = u0;
#for i in 1..UNITS
    whole += u${i};
#end
    let mean = row_sum(total(whole), tid) / count;
    var spread = 0.0;
#for i in 0..UNITS
    u${i} -= mean;
#if HELD == 1
    spread += select(0.0, squares(u${i}), c${i} < width);
#else
    spread += squares(u${i});
#end
#end
    let factor = 1.0 / sqrt(row_sum(spread, tid) / count + eps);
    if (row${r} <= last) {
#if EARLY && MANY && r == 1
      if (factors1 != factors0) {
#for i in 0..UNITS
        scale${i} = scale[factors1 + c${i}];
        shift${i} = shift[factors1 + c${i}];
#end
      }
#end
#for i in 0..UNITS
#if EARLY
      y[start${r} + c${i}] = ${ELEMENT}(scaled(u${i}, factor, scale${i}, shift${i}));
#elif HELD == 1
      if (c${i} < width) { store(start${r} + c${i}, u${i}, factor, factors${r} + c${i}); }
#else
      store(start${r} + c${i}, u${i}, factor, factors${r} + c${i});
#end
#end
    }
  }
#end
#else
  var sum = 0.0;
  for (var c = lane; c < width; c += lanes) { sum += total(load(start0 + c)); }
  let mean = row_sum(sum, tid) / count;
  var spread = 0.0;
  for (var c = lane; c < width; c += lanes) { spread += squares(less(load(start0 + c), mean)); }
  let factor = 1.0 / sqrt(row_sum(spread, tid) / count + eps);
  if (row0 > last) { return; }
  for (var c = lane; c < width; c += lanes) { store(start0 + c, less(load(start0 + c), mean), factor, factors0 + c); }
#end
}

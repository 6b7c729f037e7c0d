// Layer norm over rows of x [M, C]: plain, affine (f32 weight and bias [C]) or modulated ((1 + scale), shift [groups, C]).
// One row to 64 invocations; statistics in f32, mean first, then the variance around it.
//
// T element type; S type of scale and shift; VEC 4: C is a multiple of 4; HELD: vec4s an invocation keeps in registers
// (0: rows are read three times; any C).
#import workgroup
#let LANES = 64
#let ROWS = 4
#let ELEMENT = select(VEC == 4, select(T == "f16", "vec4<f16>", "vec4<f32>"), T)
#let FACTOR = select(VEC == 4, select(S == "f16", "vec4<f16>", "vec4<f32>"), S)
#let WIDE = select(VEC == 4, "vec4<f32>", "f32")
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

var<workgroup> parts: array<f32, ${LANES * ROWS}>;

// The sum over the 64 invocations of a row, in every one of them.
fn row_sum(part: f32, tid: u32) -> f32 {
  workgroupBarrier();
  parts[tid] = part;
  workgroupBarrier();
  let first = tid / ${LANES}u * ${LANES}u;
  var sum = vec4<f32>();
  for (var i = 0u; i < ${LANES}u; i += 4u) {
    sum += vec4<f32>(parts[first + i], parts[first + i + 1u], parts[first + i + 2u], parts[first + i + 3u]);
  }
  return sum.x + sum.y + sum.z + sum.w;
}

fn total(v: ${WIDE}) -> f32 {
#if VEC == 4
  return v.x + v.y + v.z + v.w;
#else
  return v;
#end
}

fn finish(v: ${WIDE}, column: u32, factors: u32) -> ${ELEMENT} {
#if MODE == "plain"
  return ${ELEMENT}(v);
#elif MODE == "affine"
  return ${ELEMENT}(v * ${WIDE}(scale[column]) + ${WIDE}(shift[column]));
#else
  return ${ELEMENT}(v * (${WIDE}(scale[factors + column]) + 1.0) + ${WIDE}(shift[factors + column]));
#end
}

@compute @workgroup_size(${LANES * ROWS})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) tid: u32) {
  let row = linear_workgroup(group, groups) * ${ROWS}u + tid / ${LANES}u;
  let lane = tid % ${LANES}u;
  let width = info[1]${select(VEC == 4, " / 4u", "")};
  // Surplus invocations repeat the last row: barriers need everyone.
  let start = min(row, info[0] - 1u) * width;
  let count = f32(info[1]);
  let eps = bitcast<f32>(info[2]);
#if MODE == "modulate"
  let factors = group_of(min(row, info[0] - 1u)) * width;
#else
  let factors = 0u;
#end
#if HELD > 0
  var sum = 0.0;
#for i in 0..HELD
  let c${i} = lane + ${i * LANES}u;
  let in${i} = c${i} < width;
  var v${i} = select(${WIDE}(), ${WIDE}(x[start + min(c${i}, width - 1u)]), in${i});
  sum += total(v${i});
#end
  let mean = row_sum(sum, tid) / count;
  var squares = 0.0;
#for i in 0..HELD
  v${i} = select(${WIDE}(), v${i} - mean, in${i});
  squares += total(v${i} * v${i});
#end
  let factor = 1.0 / sqrt(row_sum(squares, tid) / count + eps);
  if (row >= info[0]) { return; }
#for i in 0..HELD
  if (in${i}) { y[start + c${i}] = finish(v${i} * factor, c${i}, factors); }
#end
#else
  var sum = 0.0;
  for (var c = lane; c < width; c += ${LANES}u) { sum += total(${WIDE}(x[start + c])); }
  let mean = row_sum(sum, tid) / count;
  var squares = 0.0;
  for (var c = lane; c < width; c += ${LANES}u) {
    let d = ${WIDE}(x[start + c]) - mean;
    squares += total(d * d);
  }
  let factor = 1.0 / sqrt(row_sum(squares, tid) / count + eps);
  if (row >= info[0]) { return; }
  for (var c = lane; c < width; c += ${LANES}u) {
    y[start + c] = finish((${WIDE}(x[start + c]) - mean) * factor, c, factors);
  }
#end
}

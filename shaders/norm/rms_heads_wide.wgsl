// rms_heads for vectors of LANES units of 16 bytes: lanes keep their units in registers, EACH of them, all on their way at once.
//
// T element type; LANES a power of two; SUB 1: lanes add by subgroup shuffles (subgroups of LANES or more), 0: through
// workgroup memory.
#import workgroup
#let EACH = 4
#let THREADS = 128
#let PER = THREADS / LANES
// 16 bytes in one load: the device knows the alignment of words, but not that of two halves.
#let LOADED = select(T == "f16", "vec4<u32>", "vec4<f32>")
#let STORED = select(T == "f16", "Eight", "vec4<f32>")
#if T == "f16"
struct Eight { a: vec4<f16>, b: vec4<f16> }
#end
@group(0) @binding(0) var<storage, read_write> x: array<${LOADED}>;
@group(0) @binding(1) var<storage, read_write> gamma: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> y: array<${STORED}>;
// Vectors, H, dim.
@group(0) @binding(3) var<storage, read> info: array<u32>;

#if SUB == 0
var<workgroup> parts: array<f32, ${EACH * THREADS}>;
#end

// What a vector whose squares add up to `sum` is multiplied with.
fn factor_of(sum: f32) -> f32 {
  var length = sqrt(sum);
  // A NaN has to spread over the whole vector. Drivers turn a comparison of floats into max(), which drops it: ask the bits.
  let is_nan = (bitcast<u32>(sum) & 0x7fffffffu) > 0x7f800000u;
  if (!is_nan && length < 1e-12) { length = 1e-12; }
  return sqrt(f32(info[2])) / length;
}

@compute @workgroup_size(${THREADS})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) tid: u32) {
  let lane = tid % ${LANES}u;
  let first = linear_workgroup(group, groups) * ${EACH * PER}u + tid / ${LANES}u;
#for i in 0..EACH
  let vector${i} = first + ${i * PER}u;
  let at${i} = min(vector${i}, info[0] - 1u) * ${LANES}u + lane;
  let loaded${i} = x[at${i}];
#end
  // Before the first store, which might change them for all that the compiler knows.
#for i in 0..EACH
#if T == "f16"
  let g${i} = (vector${i} % info[1] * ${LANES}u + lane) * 2u;
  let gamma${i}_0 = gamma[g${i}];
  let gamma${i}_1 = gamma[g${i} + 1u];
  let v${i}_0 = vec4<f32>(unpack2x16float(loaded${i}.x), unpack2x16float(loaded${i}.y));
  let v${i}_1 = vec4<f32>(unpack2x16float(loaded${i}.z), unpack2x16float(loaded${i}.w));
  var sum${i} = dot(v${i}_0, v${i}_0) + dot(v${i}_1, v${i}_1);
#else
  let gamma${i} = gamma[vector${i} % info[1] * ${LANES}u + lane];
  var sum${i} = dot(loaded${i}, loaded${i});
#end
#end
#if SUB
#for i in 0..EACH
#if LANES == 32
  sum${i} += subgroupShuffleXor(sum${i}, 16u);
#end
#if LANES > 8
  sum${i} += subgroupShuffleXor(sum${i}, 8u);
#end
#if LANES > 4
  sum${i} += subgroupShuffleXor(sum${i}, 4u);
#end
  sum${i} += subgroupShuffleXor(sum${i}, 2u);
  sum${i} += subgroupShuffleXor(sum${i}, 1u);
#end
#else
#for i in 0..EACH
  parts[${i * THREADS}u + tid] = sum${i};
#end
  workgroupBarrier();
  let start = tid - lane;
#for i in 0..EACH
  sum${i} = 0.0;
  for (var l = 0u; l < ${LANES}u; l++) { sum${i} += parts[${i * THREADS}u + start + (l ^ lane)]; }
#end
#end
#for i in 0..EACH
  if (vector${i} < info[0]) {
    let factor = factor_of(sum${i});
#if T == "f16"
    y[at${i}] = Eight(vec4<f16>(v${i}_0 * factor * gamma${i}_0), vec4<f16>(v${i}_1 * factor * gamma${i}_1));
#else
    y[at${i}] = loaded${i} * factor * gamma${i};
#end
  }
#end
}

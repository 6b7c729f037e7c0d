// rms_heads for vectors of LANES units of 16 bytes: a lane keeps its unit in registers.
//
// T element type; LANES a power of two; SUB 1: lanes add by subgroup shuffles (subgroups of LANES or more), 0: through
// workgroup memory.
#import workgroup
#let ELEMENT = select(T == "f16", "Eight", "vec4<f32>")
#let VECTORS = 256 / LANES
#if T == "f16"
struct Eight { a: vec4<f16>, b: vec4<f16> }
#end
@group(0) @binding(0) var<storage, read_write> x: array<${ELEMENT}>;
@group(0) @binding(1) var<storage, read_write> gamma: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> y: array<${ELEMENT}>;
// Vectors, H, dim.
@group(0) @binding(3) var<storage, read> info: array<u32>;

#if SUB == 0
var<workgroup> parts: array<f32, 256>;
#end

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) tid: u32) {
  let vector = linear_workgroup(group, groups) * ${VECTORS}u + tid / ${LANES}u;
  let lane = tid % ${LANES}u;
  let at = min(vector, info[0] - 1u) * ${LANES}u + lane;
  let from_x = x[at];
#if T == "f16"
  let v0 = vec4<f32>(from_x.a);
  let v1 = vec4<f32>(from_x.b);
  var sum = dot(v0, v0) + dot(v1, v1);
#else
  let v0 = from_x;
  var sum = dot(v0, v0);
#end
#if SUB
#if LANES == 32
  sum += subgroupShuffleXor(sum, 16u);
#end
#if LANES > 8
  sum += subgroupShuffleXor(sum, 8u);
#end
#if LANES > 4
  sum += subgroupShuffleXor(sum, 4u);
#end
  sum += subgroupShuffleXor(sum, 2u);
  sum += subgroupShuffleXor(sum, 1u);
#else
  parts[tid] = sum;
  workgroupBarrier();
  sum = 0.0;
  let first = tid / ${LANES}u * ${LANES}u;
#for i in 0..LANES
  sum += parts[first + ${i}u];
#end
#end
  if (vector >= info[0]) { return; }
  var length = sqrt(sum);
  // A NaN has to spread over the whole vector. Drivers turn a comparison of floats into max(), which drops it: ask the bits.
  let is_nan = (bitcast<u32>(sum) & 0x7fffffffu) > 0x7f800000u;
  if (!is_nan && length < 1e-12) { length = 1e-12; }
  let factor = sqrt(f32(info[2])) / length;
#if T == "f16"
  let g = (vector % info[1] * ${LANES}u + lane) * 2u;
  y[at] = Eight(vec4<f16>(v0 * factor * gamma[g]), vec4<f16>(v1 * factor * gamma[g + 1u]));
#else
  y[at] = v0 * factor * gamma[vector % info[1] * ${LANES}u + lane];
#end
}

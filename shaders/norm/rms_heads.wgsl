// x / max(|x|, 1e-12) · gamma · √dim for every head vector of x [M, H, dim]; gamma f32 [H, dim]. 16 invocations a vector.
//
// T element type; VEC 4: dim is a multiple of 4.
#import workgroup
#import head_factor
#let ELEMENT = select(VEC == 4, select(T == "f16", "vec4<f16>", "vec4<f32>"), T)
#let WIDE = select(VEC == 4, "vec4<f32>", "f32")
@group(0) @binding(0) var<storage, read_write> x: array<${ELEMENT}>;
@group(0) @binding(1) var<storage, read_write> gamma: array<${WIDE}>;
@group(0) @binding(2) var<storage, read_write> y: array<${ELEMENT}>;
// Vectors, H, dim.
@group(0) @binding(3) var<storage, read> info: array<u32>;

var<workgroup> parts: array<f32, 256>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) tid: u32) {
  let vector = linear_workgroup(group, groups) * 16u + tid / 16u;
  let lane = tid % 16u;
  let width = info[2]${select(VEC == 4, " / 4u", "")};
  let start = min(vector, info[0] - 1u) * width;
  var sum = 0.0;
  for (var c = lane; c < width; c += 16u) {
    let v = ${WIDE}(x[start + c]);
    sum += ${select(VEC == 4, "dot(v, v)", "v * v")};
  }
  parts[tid] = sum;
  workgroupBarrier();
  if (vector >= info[0]) { return; }
  sum = 0.0;
  for (var i = 0u; i < 16u; i++) { sum += parts[tid / 16u * 16u + i]; }
  let factor = head_factor(sum, info[2]);
  let gammas = vector % info[1] * width;
  for (var c = lane; c < width; c += 16u) {
    y[start + c] = ${ELEMENT}(${WIDE}(x[start + c]) * factor * gamma[gammas + c]);
  }
}

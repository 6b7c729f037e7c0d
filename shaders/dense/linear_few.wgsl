// y = activation(x·Wᵀ + b) for a few rows: x [M, K], W [N, K], y [M, N], f32 accumulation. Reading the weights is the work, so every
// weight is read once (a workgroup takes ROWS rows of x), 16 bytes a lane, 16 lanes an output. K is a multiple of 8.
//
// T element type; W weight storage (f16 beside T = f32 is unpacked from words and needs no feature); EPI plain or bias.
#import workgroup
#import activation
#let LANES = 16
#let OUTPUTS = 16
#if T == "f16"
struct Eight { a: vec4<f16>, b: vec4<f16> }
@group(0) @binding(0) var<storage, read_write> x: array<Eight>;
#else
@group(0) @binding(0) var<storage, read_write> x: array<vec4<f32>>;
#end
#if T == "f16"
@group(0) @binding(1) var<storage, read_write> w: array<Eight>;
#elif W == "f16"
@group(0) @binding(1) var<storage, read_write> w: array<vec4<u32>>;
#else
@group(0) @binding(1) var<storage, read_write> w: array<vec4<f32>>;
#end
#let NEXT = 2
#if EPI == "bias"
@group(0) @binding(2) var<storage, read_write> bias: array<${T}>;
#let NEXT = 3
#end
@group(0) @binding(${NEXT}) var<storage, read_write> y: array<${T}>;
// M, N, K, activation, workgroups along N, workgroups …
@group(0) @binding(${NEXT + 1}) var<storage, read> info: array<u32>;

var<workgroup> parts: array<f32, ${LANES * OUTPUTS * ROWS}>;

@compute @workgroup_size(${LANES * OUTPUTS})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) tid: u32) {
  let place = linear_workgroup(group, groups);
  if (place >= info[5]) { return; }
  let column = place % info[4] * ${OUTPUTS}u + tid / ${LANES}u;
  let first = place / info[4] * ${ROWS}u;
  let lane = tid % ${LANES}u;
  let units = info[2] / 8u;
  let from_w = min(column, info[1] - 1u) * units;
#for r in 0..ROWS
  let from${r} = min(first + ${r}u, info[0] - 1u) * units;
  var sum${r} = vec4<f32>();
#end
  for (var k = lane; k < units; k += ${LANES}u) {
#if T == "f16"
    let packed = w[from_w + k];
    let w0 = vec4<f32>(packed.a);
    let w1 = vec4<f32>(packed.b);
#elif W == "f16"
    let packed = w[from_w + k];
    let w0 = vec4<f32>(unpack2x16float(packed.x), unpack2x16float(packed.y));
    let w1 = vec4<f32>(unpack2x16float(packed.z), unpack2x16float(packed.w));
#else
    let w0 = w[(from_w + k) * 2u];
    let w1 = w[(from_w + k) * 2u + 1u];
#end
#for r in 0..ROWS
#if T == "f16"
    let x${r} = x[from${r} + k];
    sum${r} = fma(vec4<f32>(x${r}.a), w0, sum${r});
    sum${r} = fma(vec4<f32>(x${r}.b), w1, sum${r});
#else
    sum${r} = fma(x[(from${r} + k) * 2u], w0, sum${r});
    sum${r} = fma(x[(from${r} + k) * 2u + 1u], w1, sum${r});
#end
#end
  }
#for r in 0..ROWS
  parts[${r * LANES * OUTPUTS}u + tid] = sum${r}.x + sum${r}.y + sum${r}.z + sum${r}.w;
#end
  workgroupBarrier();
  // One lane an element of the result.
  if (tid >= ${OUTPUTS * ROWS}u) { return; }
  let out = place % info[4] * ${OUTPUTS}u + tid % ${OUTPUTS}u;
  let row = first + tid / ${OUTPUTS}u;
  if (out >= info[1] || row >= info[0]) { return; }
  let from_parts = (tid / ${OUTPUTS}u * ${OUTPUTS}u + tid % ${OUTPUTS}u) * ${LANES}u;
  var sum = 0.0;
  for (var i = 0u; i < ${LANES}u; i++) { sum += parts[from_parts + (i + tid) % ${LANES}u]; }
#if EPI == "bias"
  sum += f32(bias[out]);
#end
  y[row * info[1] + out] = ${T}(activate(vec4<f32>(sum), info[3]).x);
}

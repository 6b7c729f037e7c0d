// rms_heads for vectors of LANES units of 16 bytes. A lane takes the same head's unit in EACH rows that follow one another, all
// on their way at once, and so reads its factors once. T element type; LANES a power of two.
#import workgroup
#import head_factor
#let EACH = 2
#let THREADS = 128
#let QUADS = LANES / 4
#let UNIT = select(T == "f16", "vec4<u32>", "vec4<f32>")
#if T == "f16"
#import halves
#end
@group(0) @binding(0) var<storage, read_write> x: array<${UNIT}>;
@group(0) @binding(1) var<storage, read_write> gamma: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> y: array<${UNIT}>;
// M, H, dim.
@group(0) @binding(3) var<storage, read> info: array<u32>;

// Squares of every lane, four neighbours in a vector, which all lanes of their vector of x read at once.
var<workgroup> parts: array<vec4<f32>, ${EACH * THREADS / 4}>;

@compute @workgroup_size(${THREADS})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) tid: u32) {
  let lane = tid % ${LANES}u;
  let rows = info[0];
  let heads = info[1];
  let place = linear_workgroup(group, groups) * ${THREADS / LANES}u + tid / ${LANES}u;
  let head = place % heads;
  let row = place / heads * ${EACH}u;
#for i in 0..EACH
  // Surplus invocations repeat the last row: the barrier needs everyone.
  let at${i} = (min(row + ${i}u, rows - 1u) * heads + head) * ${LANES}u + lane;
  let x${i} = x[at${i}];
#end
  // Before the first store, which might change them for all that the compiler knows.
#if T == "f16"
  let gamma_0 = gamma[(head * ${LANES}u + lane) * 2u];
  let gamma_1 = gamma[(head * ${LANES}u + lane) * 2u + 1u];
#else
  let gamma_0 = gamma[head * ${LANES}u + lane];
#end
#for i in 0..EACH
#if T == "f16"
  let v${i}_0 = from_halves(x${i}.xy);
  let v${i}_1 = from_halves(x${i}.zw);
  parts[${i * THREADS / 4}u + tid / 4u][tid % 4u] = dot(v${i}_0, v${i}_0) + dot(v${i}_1, v${i}_1);
#else
  parts[${i * THREADS / 4}u + tid / 4u][tid % 4u] = dot(x${i}, x${i});
#end
#end
  workgroupBarrier();
  let first = (tid - lane) / 4u;
#for i in 0..EACH
  if (row + ${i}u < rows) {
    var sums = parts[${i * THREADS / 4}u + first];
#for j in 1..QUADS
    sums += parts[${i * THREADS / 4 + j}u + first];
#end
    let factor = head_factor(sums.x + sums.y + sums.z + sums.w, info[2]);
#if T == "f16"
    y[at${i}] = vec4<u32>(to_halves(v${i}_0 * factor * gamma_0), to_halves(v${i}_1 * factor * gamma_1));
#else
    y[at${i}] = x${i} * factor * gamma_0;
#end
  }
#end
}

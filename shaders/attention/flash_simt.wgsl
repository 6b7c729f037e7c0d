// softmax(q·kᵀ·scale)·v per head and group of rows without matrix units and without a score matrix in memory.
// q [Mq, H, dim], k, v [Mk, H, dim], y [Mq, H, dim].
//
// A workgroup takes 64 queries of one head and walks over its group's keys, KEYS at a time. An invocation holds the scores of
// 4 queries × 4 keys and 4 × D/TX columns of the output; running maximum and sum are those of online softmax. Rows of the key
// (then value) tile are swizzled by XOR so that eight rows read at once lie in different banks.
//
// T element type; D padded head dim; VEC 4: dim == D, 1: any dim ≤ D; SUB 1: a row's lanes find its maximum by subgroup shuffles
// (subgroups of TX or more), 0: through workgroup memory.
#import workgroup
#let QUERIES = 64
#let KEYS = select(D == 128, 16, 32)
#let TX = KEYS / 4
#let THREADS = TX * 16
#let D4 = D / 4
#let OUT = D4 / TX
#let LOADS = KEYS * D4 / THREADS
#let ELEMENT = select(VEC == 4, select(T == "f16", "vec4<f16>", "vec4<f32>"), T)
@group(0) @binding(0) var<storage, read_write> q: array<${ELEMENT}>;
@group(0) @binding(1) var<storage, read_write> k: array<${ELEMENT}>;
@group(0) @binding(2) var<storage, read_write> v: array<${ELEMENT}>;
@group(0) @binding(3) var<storage, read_write> y: array<${ELEMENT}>;
#import attention_tiles
@group(0) @binding(4) var<storage, read> info: array<u32>;

var<workgroup> tile: array<vec4<f32>, ${KEYS * D4}>;
// Row maxima first, then probabilities.
var<workgroup> p: array<vec4<f32>, ${QUERIES * TX}>;

#for N in 0..2
#let NAME = select(N == 0, "k", "v")
// Columns 4c … 4c + 3 of row `row` of head `head`; zeros past the end.
fn fetch_${NAME}(row: u32, head: u32, c: u32, inside: bool) -> vec4<f32> {
#if VEC == 4
  return select(vec4<f32>(), vec4<f32>(${NAME}[(row * info[0] + head) * ${D4}u + c]), inside);
#else
  let start = (row * info[0] + head) * info[1];
  let last = info[1] - 1u;
  var out = vec4<f32>();
  for (var e = 0u; e < 4u; e++) {
    if (inside && c * 4u + e <= last) { out[e] = f32(${NAME}[start + c * 4u + e]); }
  }
  return out;
#end
}
#end

fn fetch_q(row: u32, head: u32, c: u32) -> vec4<f32> {
#if VEC == 4
  return vec4<f32>(q[(row * info[0] + head) * ${D4}u + c]);
#else
  let start = (row * info[0] + head) * info[1];
  var out = vec4<f32>();
  for (var e = 0u; e < 4u; e++) {
    if (c * 4u + e < info[1]) { out[e] = f32(q[start + c * 4u + e]); }
  }
  return out;
#end
}

fn store(row: u32, head: u32, c: u32, value: vec4<f32>) {
#if VEC == 4
  y[(row * info[0] + head) * ${D4}u + c] = ${ELEMENT}(value);
#else
  let start = (row * info[0] + head) * info[1];
  for (var e = 0u; e < 4u; e++) {
    if (c * 4u + e < info[1]) { y[start + c * 4u + e] = ${ELEMENT}(value[e]); }
  }
#end
}

@compute @workgroup_size(${THREADS})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) tid: u32) {
  let id = linear_workgroup(group, groups);
  if (id >= info[3] * info[0]) { return; }
  let head = id / info[3];
  let span = tile_of(id % info[3], ${QUERIES}u);
  let tx = tid % ${TX}u;
  let ty = tid / ${TX}u;
  let scale = bitcast<f32>(info[2]);
#for r in 0..4
  let q${r} = min(span.q + ty * 4u + ${r}u, span.q_end - 1u);
#for j in 0..OUT
  var o${r}_${j} = vec4<f32>();
#end
#end
  var m = vec4<f32>(-3.0e38);
  var l = vec4<f32>();
  for (var key = span.k; key < span.k_end; key += ${KEYS}u) {
    workgroupBarrier();
#for i in 0..LOADS
    let row${i} = (tid + ${i * THREADS}u) / ${D4}u;
    let column${i} = (tid + ${i * THREADS}u) % ${D4}u;
    let place${i} = row${i} * ${D4}u + (column${i} ^ ((row${i} / 4u) % ${min(D4, TX)}u));
    let inside${i} = key + row${i} < span.k_end;
    let from${i} = min(key + row${i}, span.k_end - 1u);
    tile[place${i}] = fetch_k(from${i}, head, column${i}, inside${i});
#end
    workgroupBarrier();
#for i in 0..LOADS
    let value${i} = fetch_v(from${i}, head, column${i}, inside${i});
#end
#for r in 0..4
    var s${r} = vec4<f32>();
#end
    for (var c = 0u; c < ${D4}u; c++) {
      let swizzled = c ^ (tx % ${min(D4, TX)}u);
#for j in 0..4
      let k${j} = tile[(tx * 4u + ${j}u) * ${D4}u + swizzled];
#end
#for r in 0..4
      let a${r} = fetch_q(q${r}, head, c);
      s${r} += vec4<f32>(dot(a${r}, k0), dot(a${r}, k1), dot(a${r}, k2), dot(a${r}, k3));
#end
    }
    let inside = vec4<u32>(key + tx * 4u) + vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(span.k_end);
#for r in 0..4
    s${r} = select(vec4<f32>(-3.4e38), s${r} * scale, inside);
#end
    let tops = vec4<f32>(max(max(s0.x, s0.y), max(s0.z, s0.w)), max(max(s1.x, s1.y), max(s1.z, s1.w)), max(max(s2.x, s2.y), max(s2.z, s2.w)), max(max(s3.x, s3.y), max(s3.z, s3.w)));
#if SUB
    var top = max(m, tops);
#if TX == 8
    top = max(top, subgroupShuffleXor(top, 4u));
#end
    top = max(top, subgroupShuffleXor(top, 2u));
    top = max(top, subgroupShuffleXor(top, 1u));
#else
    p[tid] = tops;
    workgroupBarrier();
    var top = m;
    for (var j = 0u; j < ${TX}u; j++) { top = max(top, p[ty * ${TX}u + j]); }
#end
    let fade = exp2(m - top);
    m = top;
#for r in 0..4
    s${r} = exp2(s${r} - top[${r}]);
#end
    l = l * fade + vec4<f32>(dot(s0, vec4<f32>(1.0)), dot(s1, vec4<f32>(1.0)), dot(s2, vec4<f32>(1.0)), dot(s3, vec4<f32>(1.0)));
    workgroupBarrier();
#for r in 0..4
    p[(ty * 4u + ${r}u) * ${TX}u + tx] = s${r};
#for j in 0..OUT
    o${r}_${j} *= fade[${r}];
#end
#end
#for i in 0..LOADS
    tile[place${i}] = value${i};
#end
    workgroupBarrier();
    for (var c = 0u; c < ${TX}u; c++) {
#for r in 0..4
      let w${r} = p[(ty * 4u + ${r}u) * ${TX}u + c];
#end
#for e in 0..4
#for j in 0..OUT
      let v${e}_${j} = tile[(c * 4u + ${e}u) * ${D4}u + ((tx + ${j * TX}u) ^ (c % ${min(D4, TX)}u))];
#for r in 0..4
      o${r}_${j} = fma(vec4<f32>(w${r}[${e}]), v${e}_${j}, o${r}_${j});
#end
#end
#end
    }
  }
  workgroupBarrier();
  p[tid] = l;
  workgroupBarrier();
  var sum = vec4<f32>();
  for (var j = 0u; j < ${TX}u; j++) { sum += p[ty * ${TX}u + j]; }
  // A group without keys gives zeros; any other row divides, so that NaN stays NaN.
  if (span.k >= span.k_end) { sum = vec4<f32>(1.0); }
#for r in 0..4
  if (span.q + ty * 4u + ${r}u < span.q_end) {
#for j in 0..OUT
    store(q${r}, head, tx + ${j * TX}u, o${r}_${j} / sum[${r}]);
#end
  }
#end
}

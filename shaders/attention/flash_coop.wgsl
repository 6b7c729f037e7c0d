// softmax(q·kᵀ·scale)·v on matrix units, f16 with f32 sums; layout and groups as in flash_simt. Subgroups of 32.
//
// A subgroup takes BLOCKS times 16 queries; K and V tiles are shared, the next ones prefetched into registers. Scores pass
// through workgroup memory, where two lanes own a row. The output accumulator is rescaled only when a row's maximum grew by
// more than 2⁸ (it has to pass through workgroup memory too), so probabilities stay below 2⁸.
#import workgroup
#let KEYS = select(D == 128, 32, 64)
#let THREADS = WARPS * 32
#let QUERIES = WARPS * BLOCKS * 16
#let D4 = D / 4
#let ND = D / 16
#let NK = KEYS / 16
#let LDK = D4 + 2
#let LDS = max(KEYS, D) / 4 + 2
#let LDP = max(KEYS, D) / 4 + 2
#let LOADS = KEYS * D4 / THREADS
#let SHARE = KEYS / 8
@group(0) @binding(0) var<storage, read_write> q: array<vec4<f16>>;
@group(0) @binding(1) var<storage, read_write> k: array<vec4<f16>>;
@group(0) @binding(2) var<storage, read_write> v: array<vec4<f16>>;
@group(0) @binding(3) var<storage, read_write> y: array<vec4<f16>>;
#import attention_tiles
@group(0) @binding(4) var<storage, read> info: array<u32>;

var<workgroup> tile_k: array<vec4<f16>, ${KEYS * LDK}>;
var<workgroup> tile_v: array<vec4<f16>, ${KEYS * LDK}>;
var<workgroup> scores: array<vec4<f32>, ${WARPS * 16 * LDS}>;
var<workgroup> weights: array<vec4<f16>, ${WARPS * 16 * LDP}>;

@compute @workgroup_size(${THREADS})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) tid: u32) {
  // Surplus workgroups repeat the last tile: matrix operations allow no early return.
  let id = min(linear_workgroup(group, groups), info[3] * info[0] - 1u);
  let head = id / info[3] * ${D4}u;
  let span = tile_of(id % info[3], ${QUERIES}u);
  let warp = tid / 32u;
  let lane = tid % 32u;
  let er = lane / 2u;
  let ec = lane % 2u;
  let stride = info[0] * ${D4}u;
  let scale = bitcast<f32>(info[2]);
  let first = span.q + warp * ${BLOCKS * 16}u;
  let ss = warp * ${16 * LDS}u;
  let sp = warp * ${16 * LDP}u;
#for r in 0..BLOCKS
#for i in 0..D4 / 2
  weights[sp + er * ${LDP}u + ${i * 2}u + ec] = q[min(first + ${r * 16}u + er, span.q_end - 1u) * stride + head + ${i * 2}u + ec];
#end
  subgroupBarrier();
#for d in 0..ND
  let q${r}_${d} = coopLoadT<coop_mat16x16<f16, A>>(&weights[sp + ${d * 4}u], ${LDP}u);
  var o${r}_${d}: coop_mat16x16<f32, C>;
#end
  var m${r} = -1e30;
  var l${r} = 0.0;
  subgroupBarrier();
#end
  let last = max(span.k_end, span.k + 1u) - 1u;
#for i in 0..LOADS
  let row${i} = (tid + ${i * THREADS}u) / ${D4}u;
  let col${i} = (tid + ${i * THREADS}u) % ${D4}u;
  let to${i} = row${i} * ${LDK}u + col${i};
  let g${i} = min(span.k + row${i}, last) * stride + head + col${i};
  var k${i} = vec4<f16>();
  var v${i} = vec4<f16>();
  if (span.k + row${i} < span.k_end) {
    k${i} = k[g${i}];
    v${i} = v[g${i}];
  }
#end
  for (var key = span.k; key < span.k_end; key += ${KEYS}u) {
#for i in 0..LOADS
    tile_k[to${i}] = k${i};
    tile_v[to${i}] = v${i};
#end
    workgroupBarrier();
    if (key + ${KEYS}u < span.k_end) {
#for i in 0..LOADS
      {
        let row = key + ${KEYS}u + row${i};
        let at = min(row, last) * stride + head + col${i};
        k${i} = k[at];
        v${i} = select(vec4<f16>(), v[at], row < span.k_end);
      }
#end
    }
#for r in 0..BLOCKS
#for j in 0..NK
    var s${r}_${j}: coop_mat16x16<f32, C> = coop_mat16x16<f32, C>();
#end
#end
#for j in 0..NK
#for d in 0..ND
    {
      let kf = coopLoad<coop_mat16x16<f16, B>>(&tile_k[${j * 16 * LDK + d * 4}u], ${LDK}u);
#for r in 0..BLOCKS
      s${r}_${j} = coopMultiplyAdd(q${r}_${d}, kf, s${r}_${j});
#end
    }
#end
#end
#for r in 0..BLOCKS
#for j in 0..NK
    coopStoreT(s${r}_${j}, &scores[ss + ${j * 4}u], ${LDS}u);
#end
    subgroupBarrier();
#for e in 0..SHARE
    var x${r}_${e} = scores[ss + er * ${LDS}u + ${e * 2}u + ec] * scale;
#end
    if (key + ${KEYS}u > span.k_end) {
#for e in 0..SHARE
      x${r}_${e} = select(vec4<f32>(-1e30), x${r}_${e}, vec4<u32>(key + (${e * 2}u + ec) * 4u) + vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(span.k_end));
#end
    }
    var t${r} = x${r}_0;
#for e in 1..SHARE
    t${r} = max(t${r}, x${r}_${e});
#end
    var top${r} = max(max(t${r}.x, t${r}.y), max(t${r}.z, t${r}.w));
    top${r} = max(top${r}, subgroupShuffleXor(top${r}, 1u));
    // A loop and not an `if`: naga accepts subgroup-uniform control flow only here.
    for (var go${r} = subgroupAny(top${r} > m${r} + 8.0); go${r}; go${r} = false) {
      let grown = max(m${r}, top${r});
      let fade = exp2(m${r} - grown);
      m${r} = grown;
      l${r} *= fade;
      subgroupBarrier();
#for d in 0..ND
      coopStoreT(o${r}_${d}, &scores[ss + ${d * 4}u], ${LDS}u);
#end
      subgroupBarrier();
      for (var e = 0u; e < ${D4 / 2}u; e++) { scores[ss + er * ${LDS}u + e * 2u + ec] *= fade; }
      subgroupBarrier();
#for d in 0..ND
      o${r}_${d} = coopLoadT<coop_mat16x16<f32, C>>(&scores[ss + ${d * 4}u], ${LDS}u);
#end
    }
    var u${r} = vec4<f32>();
#for e in 0..SHARE
    {
      // The sum takes the rounded weights, so that their errors cancel where one key dominates.
      let p = vec4<f16>(exp2(x${r}_${e} - m${r}));
      u${r} += vec4<f32>(p);
      weights[sp + er * ${LDP}u + ${e * 2}u + ec] = p;
    }
#end
    l${r} += u${r}.x + u${r}.y + u${r}.z + u${r}.w;
    subgroupBarrier();
#for j in 0..NK
    let p${r}_${j} = coopLoadT<coop_mat16x16<f16, A>>(&weights[sp + ${j * 4}u], ${LDP}u);
#end
#if r + 1 < BLOCKS
    subgroupBarrier();
#end
#end
#for j in 0..NK
#for d in 0..ND
    {
      let vf = coopLoadT<coop_mat16x16<f16, B>>(&tile_v[${j * 16 * LDK + d * 4}u], ${LDK}u);
#for r in 0..BLOCKS
      o${r}_${d} = coopMultiplyAdd(p${r}_${j}, vf, o${r}_${d});
#end
    }
#end
#end
    workgroupBarrier();
  }
#for r in 0..BLOCKS
  subgroupBarrier();
#for d in 0..ND
  coopStoreT(o${r}_${d}, &scores[ss + ${d * 4}u], ${LDS}u);
#end
  subgroupBarrier();
  {
    var sum = l${r} + subgroupShuffleXor(l${r}, 1u);
    // A group without keys gives zeros; any other row divides, so that NaN stays NaN.
    if (span.k >= span.k_end) { sum = 1.0; }
    let row = first + ${r * 16}u + er;
    if (row < span.q_end) {
      for (var e = 0u; e < ${D4 / 2}u; e++) {
        y[row * stride + head + e * 2u + ec] = vec4<f16>(scores[ss + er * ${LDS}u + e * 2u + ec] / sum);
      }
    }
  }
#end
}

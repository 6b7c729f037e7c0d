// softmax(q·kᵀ·scale)·v on matrix units, f16 with f32 sums; layout and groups as in flash_simt. Subgroups of 32.
//
// A subgroup takes BLOCKS times 16 queries; K and V tiles are shared, the next ones prefetched into registers. Scores pass
// through workgroup memory, where two lanes own a row. The output accumulator is rescaled only when a row's maximum grew by
// more than 2⁸ (it has to pass through workgroup memory too), so probabilities stay below 2⁸.
//
// Weights rounded to f16 would cost the result as much again as its own rounding does: for RESTS of a tile's blocks of 16 keys,
// what the rounding lost multiplies the values too, as weights of its own. Half of the keys halve the squared error. Long
// sequences with heads of 64 do without: there it would cost 4 %, and sums over so many keys stay just within the bound.
#import workgroup
// Subgroups of a workgroup, blocks of 16 queries of each, keys at a time; all blocks have rests where that costs little.
#if CFG == "keys64"
#let WARPS = 4
#let BLOCKS = 2
#let KEYS = 64
#let RESTS = 4
#elif CFG == "keys32"
#let WARPS = 4
#let BLOCKS = 2
#let KEYS = 32
#let RESTS = 1
#elif CFG == "eight"
#let WARPS = 8
#let BLOCKS = 1
#let KEYS = 32
#let RESTS = select(D == 128, 1, 0)
#else
#let WARPS = 2
#let BLOCKS = 1
#let KEYS = 32
#let RESTS = 2
#end
#let THREADS = WARPS * 32
#let QUERIES = WARPS * BLOCKS * 16
#let D4 = D / 4
#let D8 = D / 8
#let ND = D / 16
#let NK = KEYS / 16
// Rows of a tile are padded by 8 elements against bank conflicts.
#let LDK = D8 + 1
#let LDS = KEYS / 4 + 2
#let LOADS = KEYS * D8 / THREADS
#let SHARE = KEYS / 8
// Queries and results pass through the scores' memory in pieces of at most KEYS columns.
#let PART = min(KEYS, D)
#let PARTS = D / PART
#let PIECES = PART / 16

struct Eight { a: vec4<f16>, b: vec4<f16> }

@group(0) @binding(0) var<storage, read_write> q: array<vec4<f16>>;
@group(0) @binding(1) var<storage, read_write> k: array<Eight>;
@group(0) @binding(2) var<storage, read_write> v: array<Eight>;
@group(0) @binding(3) var<storage, read_write> y: array<vec4<f16>>;
#import attention_tiles
@group(0) @binding(4) var<storage, read> info: array<u32>;

var<workgroup> tile_k: array<Eight, ${KEYS * LDK}>;
var<workgroup> tile_v: array<Eight, ${KEYS * LDK}>;
var<workgroup> scores: array<vec4<f32>, ${WARPS * 16 * LDS}>;
var<workgroup> weights: array<vec4<f16>, ${WARPS * 16 * LDS}>;

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
  let sp = warp * ${16 * LDS}u;
#for r in 0..BLOCKS
#for part in 0..PARTS
#for i in 0..PART / 8
  weights[sp + er * ${LDS}u + ${i * 2}u + ec] = q[min(first + ${r * 16}u + er, span.q_end - 1u) * stride + head + ${part * PART / 4 + i * 2}u + ec];
#end
  subgroupBarrier();
#for d in 0..PIECES
  let q${r}_${part * PIECES + d} = coopLoadT<coop_mat16x16<f16, A>>(&weights[sp + ${d * 4}u], ${LDS}u);
  var o${r}_${part * PIECES + d}: coop_mat16x16<f32, C>;
#end
  subgroupBarrier();
#end
  var m${r} = -1e30;
  var l${r} = 0.0;
#end
  let wide = stride / 2u;
#for i in 0..LOADS
  let row${i} = (tid + ${i * THREADS}u) / ${D8}u;
  let col${i} = (tid + ${i * THREADS}u) % ${D8}u;
  let to${i} = row${i} * ${LDK}u + col${i};
  let at${i} = row${i} * wide + head / 2u + col${i};
  var k${i} = Eight();
  var v${i} = Eight();
  if (span.k + row${i} < span.k_end) {
    k${i} = k[span.k * wide + at${i}];
    v${i} = v[span.k * wide + at${i}];
  }
#end
  for (var key = span.k; key < span.k_end; key += ${KEYS}u) {
#for i in 0..LOADS
    tile_k[to${i}] = k${i};
    tile_v[to${i}] = v${i};
#end
    workgroupBarrier();
    {
      let next = key + ${KEYS}u;
#for i in 0..LOADS
      // Keys past the end are masked by their scores; values there must be 0, for 0 · NaN is NaN.
      if (next + row${i} < span.k_end) {
        k${i} = k[next * wide + at${i}];
        v${i} = v[next * wide + at${i}];
      } else {
        v${i} = Eight();
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
      let kf = coopLoad<coop_mat16x16<f16, B>>(&tile_k[${j * 16 * LDK + d * 2}u].a, ${LDK * 2}u);
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
#for part in 0..PARTS
      subgroupBarrier();
#for d in 0..PIECES
      coopStoreT(o${r}_${part * PIECES + d}, &scores[ss + ${d * 4}u], ${LDS}u);
#end
      subgroupBarrier();
      for (var e = 0u; e < ${PART / 8}u; e++) { scores[ss + er * ${LDS}u + e * 2u + ec] *= fade; }
      subgroupBarrier();
#for d in 0..PIECES
      o${r}_${part * PIECES + d} = coopLoadT<coop_mat16x16<f32, C>>(&scores[ss + ${d * 4}u], ${LDS}u);
#end
#end
    }
    var u${r} = vec4<f32>();
#for e in 0..SHARE
    {
      let p = exp2(x${r}_${e} - m${r});
      u${r} += p;
#if e < RESTS * 2
      // The upper bits by a mask: compilers take a conversion to f16 and back for nothing.
      let upper = bitcast<vec4<f32>>(bitcast<vec4<u32>>(p) & vec4<u32>(0xffffe000u));
      x${r}_${e} = p - upper;
      weights[sp + er * ${LDS}u + ${e * 2}u + ec] = vec4<f16>(upper);
#else
      weights[sp + er * ${LDS}u + ${e * 2}u + ec] = vec4<f16>(p);
#end
    }
#end
    l${r} += u${r}.x + u${r}.y + u${r}.z + u${r}.w;
    subgroupBarrier();
#for j in 0..NK
    let p${r}_${j} = coopLoadT<coop_mat16x16<f16, A>>(&weights[sp + ${j * 4}u], ${LDS}u);
#end
#if RESTS > 0
    subgroupBarrier();
#for e in 0..RESTS * 2
    weights[sp + er * ${LDS}u + ${e * 2}u + ec] = vec4<f16>(x${r}_${e});
#end
    subgroupBarrier();
#for j in 0..RESTS
    let rest${r}_${j} = coopLoadT<coop_mat16x16<f16, A>>(&weights[sp + ${j * 4}u], ${LDS}u);
#end
#end
#if r + 1 < BLOCKS
    subgroupBarrier();
#end
#end
#for j in 0..NK
#for d in 0..ND
    {
      let vf = coopLoadT<coop_mat16x16<f16, B>>(&tile_v[${j * 16 * LDK + d * 2}u].a, ${LDK * 2}u);
#for r in 0..BLOCKS
      o${r}_${d} = coopMultiplyAdd(p${r}_${j}, vf, o${r}_${d});
#if j < RESTS
      o${r}_${d} = coopMultiplyAdd(rest${r}_${j}, vf, o${r}_${d});
#end
#end
    }
#end
#end
    workgroupBarrier();
  }
#for r in 0..BLOCKS
  var sum${r} = l${r} + subgroupShuffleXor(l${r}, 1u);
  // A group without keys gives zeros; any other row divides, so that NaN stays NaN.
  if (span.k >= span.k_end) { sum${r} = 1.0; }
#for part in 0..PARTS
  subgroupBarrier();
#for d in 0..PIECES
  coopStoreT(o${r}_${part * PIECES + d}, &scores[ss + ${d * 4}u], ${LDS}u);
#end
  subgroupBarrier();
  {
    let row = first + ${r * 16}u + er;
    if (row < span.q_end) {
      for (var e = 0u; e < ${PART / 8}u; e++) {
        y[row * stride + head + ${part * PART / 4}u + e * 2u + ec] = vec4<f16>(scores[ss + er * ${LDS}u + e * 2u + ec] / sum${r});
      }
    }
  }
#end
#end
}

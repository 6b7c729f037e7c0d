// y = epilogue(x·Wᵀ + b) without matrix units: x [M, K], W [N, K], y [M, N], f32 accumulation.
//
// A workgroup makes a BM×BN tile, an invocation 4·RM × 4·RN elements of it. Tiles of x and W lie in workgroup memory as f32,
// K-major, so that the inner loop reads vec4s along M and N; the next tiles are fetched into registers meanwhile.
//
// T element type; W weight storage (f16 beside T = f32 is unpacked from words and needs no feature; i8, i4 carry scales);
// VEC 4: K and N are multiples of 4, 1: any; TILE 128 or 32, or a form of 128 for sums of a multiple of 16 (flat, long); EPI plain, bias, residual (bias and residual), gate (bias,
// residual and gate by group) or split (bias, N in three equal parts stored apart); GATHER table or grid: a 3×3×3 convolution,
// K = 27·CIN, rows of x are picked by a neighbour table [27, M] (−1: zeros) or by the dimensions of a dense volume.
#import workgroup
#import activation
// Vec4s of rows and of columns that an invocation makes, invocations along rows, loop unrolling.
#let RM = select(TILE == 32, 1, 2)
#let RN = select(TILE == "long4" || TILE == "long8", 4, RM)
#let TY = select(TILE == 32, 8, 16)
#let TX = TY * RM / RN
#let UNROLL = select(TILE == "flat8" || TILE == "long8", 8, select(TILE == "flat16", 16, 4))
// Whether K may be no multiple of BK.
#let TAIL = TILE == 128 || TILE == 32
#let THREADS = TX * TY
#let BM = TY * 4 * RM
#let BK = 16
#let LD = BM / 4
// 4×4 blocks that one tile of x (or W) is fetched in, and how many of both an invocation fetches.
#let BLOCKS = (BM / 4) * (BK / 4)
#let SLOTS = ceil_div(2 * BLOCKS, THREADS)
#let E = select(VEC == 4, 4, 1)
#let ELEMENT = select(VEC == 4, select(T == "f16", "vec4<f16>", "vec4<f32>"), T)

#let NEXT = 2
@group(0) @binding(0) var<storage, read_write> x: array<${ELEMENT}>;
#if W == "i8" || W == "i4"
@group(0) @binding(1) var<storage, read_write> w: array<u32>;
@group(0) @binding(2) var<storage, read_write> scales: array<u32>;
#let NEXT = 3
#elif W == T
@group(0) @binding(1) var<storage, read_write> w: array<${ELEMENT}>;
#elif VEC == 4
@group(0) @binding(1) var<storage, read_write> w: array<vec2<u32>>;
#else
@group(0) @binding(1) var<storage, read_write> w: array<u32>;
#end
#if EPI != "plain"
@group(0) @binding(${NEXT}) var<storage, read_write> bias: array<${ELEMENT}>;
#let NEXT = NEXT + 1
#end
#if EPI == "residual" || EPI == "gate"
@group(0) @binding(${NEXT}) var<storage, read_write> residual: array<${ELEMENT}>;
#let NEXT = NEXT + 1
#end
#if EPI == "gate"
@group(0) @binding(${NEXT}) var<storage, read_write> gate: array<${ELEMENT}>;
#let NEXT = NEXT + 1
#end
#if GATHER == "table"
@group(0) @binding(${NEXT}) var<storage, read_write> rows: array<i32>;
#let NEXT = NEXT + 1
#end
#if EPI == "split"
@group(0) @binding(${NEXT}) var<storage, read_write> y0: array<${ELEMENT}>;
@group(0) @binding(${NEXT + 1}) var<storage, read_write> y1: array<${ELEMENT}>;
@group(0) @binding(${NEXT + 2}) var<storage, read_write> y2: array<${ELEMENT}>;
#let NEXT = NEXT + 3
#else
@group(0) @binding(${NEXT}) var<storage, read_write> y: array<${ELEMENT}>;
#let NEXT = NEXT + 1
#end
// M, N, K, activation, tiles along N, tiles, CIN (or 0), columns that share a scale (or 0), groups of rows …
@group(0) @binding(${NEXT}) var<storage, read> info: array<u32>;
#let GROUPS = 8
#if EPI == "gate"
#import groups
#end
#if GATHER != "no"
#import neighbours
#end

var<workgroup> tile_x: array<vec4<f32>, ${BK * LD}>;
var<workgroup> tile_w: array<vec4<f32>, ${BK * LD}>;

// Four elements of row `row` of x from column `k` on, zeros past the end.
fn fetch_x(row: u32, k: u32) -> vec4<f32> {
  let columns = info[2];
#if GATHER != "no"
  let width = info[6];
#if VEC == 4
  let picked = neighbour(min(k, columns - 1u) / width, row);
  let at = u32(max(picked, 0)) * width + min(k, columns - 4u) % width;
  return select(vec4<f32>(), vec4<f32>(x[at / 4u]), k < columns && picked >= 0);
#else
  var out = vec4<f32>();
  for (var e = 0u; e < 4u; e++) {
    let c = min(k + e, columns - 1u);
    let picked = neighbour(c / width, row);
    let value = f32(x[u32(max(picked, 0)) * width + c % width]);
    if (k + e < columns && picked >= 0) { out[e] = value; }
  }
  return out;
#end
#else
#if VEC == 4
#if TAIL
  return select(vec4<f32>(), vec4<f32>(x[(row * columns + min(k, columns - 4u)) / 4u]), k < columns);
#else
  return vec4<f32>(x[(row * columns + k) / 4u]);
#end
#else
  let start = row * columns;
  let last = columns - 1u;
  let out = vec4<f32>(f32(x[start + min(k, last)]), f32(x[start + min(k + 1u, last)]), f32(x[start + min(k + 2u, last)]), f32(x[start + min(k + 3u, last)]));
  return select(vec4<f32>(), out, vec4<u32>(k, k + 1u, k + 2u, k + 3u) < vec4<u32>(columns));
#end
#end
}

#if W != T && VEC == 1 && W == "f16"
fn half_at(at: u32) -> f32 {
  return unpack2x16float(w[at / 2u])[at % 2u];
}
#end

// Four elements of row `row` of W from column `k` on, zeros past the end.
fn fetch_w(row: u32, k: u32) -> vec4<f32> {
  let columns = info[2];
#if W == "i8"
  let packed = bitcast<i32>(w[(row * columns + min(k, columns - 4u)) / 4u]);
  let values = vec4<f32>(vec4<i32>(packed << 24u, packed << 16u, packed << 8u, packed) >> vec4<u32>(24u));
  let scale = unpack2x16float(scales[row / 2u])[row % 2u];
  return select(vec4<f32>(), values * scale, k < columns);
#elif W == "i4"
  // The lowest nibble comes first, 8 means 0; info[7] columns share a scale, the last ones of a row may be fewer.
  let column = min(k, columns - 4u);
  let at = row * columns + column;
  let packed = w[at / 8u] >> ((at % 8u) * 4u);
  let values = vec4<f32>((vec4<u32>(packed, packed >> 4u, packed >> 8u, packed >> 12u) & vec4<u32>(15u))) - 8.0;
  let group = row * ((columns + info[7] - 1u) / info[7]) + column / info[7];
  let scale = unpack2x16float(scales[group / 2u])[group % 2u];
  return select(vec4<f32>(), values * scale, k < columns);
#elif VEC == 4 && !TAIL
  let at = (row * columns + k) / 4u;
#if W == T
  return vec4<f32>(w[at]);
#else
  let packed = w[at];
  return vec4<f32>(unpack2x16float(packed.x), unpack2x16float(packed.y));
#end
#elif VEC == 4
  let at = (row * columns + min(k, columns - 4u)) / 4u;
#if W == T
  return select(vec4<f32>(), vec4<f32>(w[at]), k < columns);
#else
  let packed = w[at];
  return select(vec4<f32>(), vec4<f32>(unpack2x16float(packed.x), unpack2x16float(packed.y)), k < columns);
#end
#else
  let start = row * columns;
  let last = columns - 1u;
#if W == T
  let out = vec4<f32>(f32(w[start + min(k, last)]), f32(w[start + min(k + 1u, last)]), f32(w[start + min(k + 2u, last)]), f32(w[start + min(k + 3u, last)]));
#else
  let out = vec4<f32>(half_at(start + min(k, last)), half_at(start + min(k + 1u, last)), half_at(start + min(k + 2u, last)), half_at(start + min(k + 3u, last)));
#end
  return select(vec4<f32>(), out, vec4<u32>(k, k + 1u, k + 2u, k + 3u) < vec4<u32>(columns));
#end
}

// Element (or four) `column` of row `row` of the result, from its sum.
fn finish(sum: vec4<f32>, row: u32, column: u32) {
  let columns = info[1];
#if VEC == 4
  let at = (row * columns + column) / 4u;
  var v = sum;
#if EPI != "plain"
  v += vec4<f32>(bias[column / 4u]);
#end
  v = activate(v, info[3]);
#if EPI == "gate"
  v *= vec4<f32>(gate[(group_of(row) * columns + column) / 4u]);
#end
#if EPI == "residual" || EPI == "gate"
  v += vec4<f32>(residual[at]);
#end
  let out = ${ELEMENT}(v);
#else
  let at = row * columns + column;
  var v = sum;
#if EPI != "plain"
  v.x += f32(bias[column]);
#end
  v = activate(v, info[3]);
#if EPI == "gate"
  v.x *= f32(gate[group_of(row) * columns + column]);
#end
#if EPI == "residual" || EPI == "gate"
  v.x += f32(residual[at]);
#end
  let out = ${ELEMENT}(v.x);
#end
#if EPI == "split"
  let third = columns / 3u;
  let part = column / third;
  let to = (row * third + column - part * third) / ${E}u;
  if (part == 0u) { y0[to] = out; } else if (part == 1u) { y1[to] = out; } else { y2[to] = out; }
#else
  y[at] = out;
#end
}

fn store(sum: vec4<f32>, row: u32, column: u32) {
  if (row >= info[0]) { return; }
#if VEC == 4
  if (column < info[1]) { finish(sum, row, column); }
#else
  for (var e = 0u; e < 4u; e++) {
    if (column + e < info[1]) { finish(vec4<f32>(sum[e]), row, column + e); }
  }
#end
}

@compute @workgroup_size(${THREADS})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) tid: u32) {
  let tile = linear_workgroup(group, groups);
  if (tile >= info[5]) { return; }
  let m0 = tile / info[4] * ${BM}u;
  let n0 = tile % info[4] * ${BM}u;
  let tx = tid % ${TX}u;
  let ty = tid / ${TX}u;
#for i in 0..4 * RM
#for j in 0..RN
  var c${i}_${j} = vec4<f32>();
#end
#end
#for s in 0..SLOTS
  let b${s} = tid + ${s * THREADS}u;
  let is_x${s} = b${s} < ${BLOCKS}u;
  let at${s} = select(b${s} - ${BLOCKS}u, b${s}, is_x${s});
  let k${s} = at${s} / ${LD}u * 4u;
  let line${s} = at${s} % ${LD}u;
#for e in 0..4
  let row${s}_${e} = select(min(n0 + line${s} * 4u + ${e}u, info[1] - 1u), min(m0 + line${s} * 4u + ${e}u, info[0] - 1u), is_x${s});
  var v${s}_${e}: vec4<f32>;
#end
  if (is_x${s}) {
#for e in 0..4
    v${s}_${e} = fetch_x(row${s}_${e}, k${s});
#end
  } else {
#for e in 0..4
    v${s}_${e} = fetch_w(row${s}_${e}, k${s});
#end
  }
#end
  let steps = (info[2] + ${BK - 1}u) / ${BK}u;
  for (var step = 0u; step < steps; step++) {
#for s in 0..SLOTS
    if (is_x${s}) {
#for e in 0..4
      tile_x[(k${s} + ${e}u) * ${LD}u + line${s}] = vec4<f32>(v${s}_0[${e}], v${s}_1[${e}], v${s}_2[${e}], v${s}_3[${e}]);
#end
    } else {
#for e in 0..4
      tile_w[(k${s} + ${e}u) * ${LD}u + line${s}] = vec4<f32>(v${s}_0[${e}], v${s}_1[${e}], v${s}_2[${e}], v${s}_3[${e}]);
#end
    }
#end
    workgroupBarrier();
    if (step + 1u < steps) {
#for s in 0..SLOTS
      let next${s} = (step + 1u) * ${BK}u + k${s};
      if (is_x${s}) {
#for e in 0..4
        v${s}_${e} = fetch_x(row${s}_${e}, next${s});
#end
      } else {
#for e in 0..4
        v${s}_${e} = fetch_w(row${s}_${e}, next${s});
#end
      }
#end
    }
    for (var k = 0u; k < ${BK * LD}u; k += ${UNROLL * LD}u) {
#for u in 0..UNROLL
#for r in 0..RM
      let a${u}_${r} = tile_x[k + ty + ${u * LD + r * TY}u];
#end
#for r in 0..RN
      let w${u}_${r} = tile_w[k + tx + ${u * LD + r * TX}u];
#end
#for i in 0..4 * RM
#for j in 0..RN
      c${i}_${j} = fma(vec4<f32>(a${u}_${i / 4}[${i % 4}]), w${u}_${j}, c${i}_${j});
#end
#end
#end
    }
    workgroupBarrier();
  }
#for i in 0..4 * RM
#for j in 0..RN
  store(c${i}_${j}, m0 + ty * 4u + ${i / 4 * TY * 4 + i % 4}u, n0 + tx * 4u + ${j * TX * 4}u);
#end
#end
}

// y = epilogue(x·Wᵀ + b) on matrix units: x [M, K] f16, W [N, K] (f16, i8 or i4 with scales), y [M, N] f16, f32 accumulation.
// K and N are multiples of 8. Subgroups of 32.
//
// A workgroup makes a BM×BN tile, a subgroup WM×WN of it in 16×16 fragments. The next K tile is fetched into registers while
// the matrix units work on this one. An accumulator leaves its registers only as f32 through workgroup memory, 16×16 at a
// time, and the epilogue is applied there.
//
// CFG tile sizes; W weight storage; EPI and GATHER as in linear_simt, CIN a multiple of BK; TAIL 1: K is no multiple of BK.
#import workgroup
#import activation
#let BM = 128
#let BN = 128
#let BK = 32
#let WM = 64
#let WN = 32
#let PRE = 1
#let DOUBLE = 0
#if CFG == "deep" || CFG == "lean64"
#let BK = 64
#elif CFG == "square" || CFG == "square0"
#let WN = 64
#elif CFG == "large"
#let BN = 256
#let WN = 64
#elif CFG == "half"
#let BM = 64
#let WM = 32
#let WN = 64
#elif CFG == "tall"
#let BN = 64
#elif CFG == "small"
#let BM = 64
#let BN = 64
#let BK = 64
#let WM = 32
#end
#if CFG == "lean32" || CFG == "lean64" || CFG == "square0"
#let PRE = 0
#end
#if CFG == "double"
#let DOUBLE = 1
#end
#let ACROSS = BN / WN
#let WARPS = BM / WM * ACROSS
#let THREADS = WARPS * 32
// Rows of a tile are padded by 8 elements against bank conflicts. Units of 8 elements; the matrix loads count vec4s.
#let KU = BK / 8
#let LD = KU + 1
#let LOADS_X = BM * KU / THREADS
#let LOADS_W = BN * KU / THREADS
#let TM = WM / 16
#let TN = WN / 16
#let LDC = select(DOUBLE, 4, 5)

struct Eight { a: vec4<f16>, b: vec4<f16> }

@group(0) @binding(0) var<storage, read_write> x: array<Eight>;
#if W == "f16"
@group(0) @binding(1) var<storage, read_write> w: array<Eight>;
#let NEXT = 2
#else
@group(0) @binding(1) var<storage, read_write> w: array<u32>;
@group(0) @binding(2) var<storage, read_write> scales: array<u32>;
#let NEXT = 3
#end
#if EPI != "plain"
@group(0) @binding(${NEXT}) var<storage, read_write> bias: array<vec4<f16>>;
#let NEXT = NEXT + 1
#end
#if EPI == "residual" || EPI == "gate"
@group(0) @binding(${NEXT}) var<storage, read_write> residual: array<vec4<f16>>;
#let NEXT = NEXT + 1
#end
#if EPI == "gate"
@group(0) @binding(${NEXT}) var<storage, read_write> gate: array<vec4<f16>>;
#let NEXT = NEXT + 1
#end
#if GATHER == "table"
@group(0) @binding(${NEXT}) var<storage, read_write> rows: array<i32>;
#let NEXT = NEXT + 1
#end
#if EPI == "split"
@group(0) @binding(${NEXT}) var<storage, read_write> y0: array<vec4<f16>>;
@group(0) @binding(${NEXT + 1}) var<storage, read_write> y1: array<vec4<f16>>;
@group(0) @binding(${NEXT + 2}) var<storage, read_write> y2: array<vec4<f16>>;
#let NEXT = NEXT + 3
#else
@group(0) @binding(${NEXT}) var<storage, read_write> y: array<vec4<f16>>;
#let NEXT = NEXT + 1
#end
// The words of linear_simt.
@group(0) @binding(${NEXT}) var<storage, read> info: array<u32>;
#let GROUPS = 8
#if EPI == "gate"
#import groups
#end
#if GATHER != "no"
#import neighbours
#end

var<workgroup> tile_x: array<Eight, ${BM * LD * (1 + DOUBLE)}>;
var<workgroup> tile_w: array<Eight, ${BN * LD * (1 + DOUBLE)}>;
var<workgroup> sums: array<vec4<f32>, ${WARPS * 16 * LDC}>;

// Eight elements of x: `step` and `unit` count eights within the sum. Rows are clamped by the caller.
fn fetch_x(row: u32, step: u32, unit: u32, units: u32) -> Eight {
#if GATHER != "no"
  let width = info[6] / 8u;
  let tap = step / width;
  let from_row = neighbour(tap, row);
  var out = Eight();
  if (from_row >= 0) { out = x[u32(from_row) * width + step - tap * width + unit]; }
  return out;
#elif TAIL
  var out = Eight();
  if (step + unit < units) { out = x[row * units + step + unit]; }
  return out;
#else
  return x[row * units + step + unit];
#end
}

#if W == "i8"
// Four weights, `at` counts fours.
fn four(row: u32, at: u32, columns: u32) -> vec4<f16> {
  let packed = bitcast<i32>(w[row * columns + at]);
  let values = vec4<f32>(vec4<i32>(packed << 24u, packed << 16u, packed << 8u, packed) >> vec4<u32>(24u));
  return vec4<f16>(values * unpack2x16float(scales[row / 2u])[row % 2u]);
}
#elif W == "i4"
fn four(row: u32, column: u32, columns: u32) -> vec4<f16> {
  let at = row * columns + column;
  let packed = w[at / 2u] >> ((at % 2u) * 16u);
  let values = vec4<f32>((vec4<u32>(packed, packed >> 4u, packed >> 8u, packed >> 12u) & vec4<u32>(15u))) - 8.0;
  let share = info[7] / 4u;
  let group = row * ((columns + share - 1u) / share) + column / share;
  return vec4<f16>(values * unpack2x16float(scales[group / 2u])[group % 2u]);
}
#end

// Eight weights.
fn fetch_w(row: u32, unit: u32, units: u32) -> Eight {
  var out = Eight();
#if TAIL
  if (unit < units) {
#else
  {
#end
#if W == "f16"
    out = w[row * units + unit];
#else
    out = Eight(four(row, unit * 2u, units * 2u), four(row, unit * 2u + 1u, units * 2u));
#end
  }
  return out;
}

fn finish(sum: vec4<f32>, row: u32, column: u32) {
  let columns = info[1] / 4u;
  let at = row * columns + column;
  var v = sum;
#if EPI != "plain"
  v += vec4<f32>(bias[column]);
#end
  v = activate(v, info[3]);
#if EPI == "gate"
  v *= vec4<f32>(gate[group_of(row) * columns + column]);
#end
#if EPI == "residual" || EPI == "gate"
  v += vec4<f32>(residual[at]);
#end
#if EPI == "split"
  let third = columns / 3u;
  let part = column / third;
  let to = row * third + column - part * third;
  if (part == 0u) { y0[to] = vec4<f16>(v); } else if (part == 1u) { y1[to] = vec4<f16>(v); } else { y2[to] = vec4<f16>(v); }
#else
  y[at] = vec4<f16>(v);
#end
}

@compute @workgroup_size(${THREADS})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) tid: u32) {
  // Surplus workgroups repeat the last tile: matrix operations allow no early return.
  let tile = min(linear_workgroup(group, groups), info[5] - 1u);
  let m0 = tile / info[4] * ${BM}u;
  let n0 = tile % info[4] * ${BN}u;
  let warp = tid / 32u;
  let lane = tid % 32u;
  let wm = warp / ${ACROSS}u * ${WM}u;
  let wn = warp % ${ACROSS}u * ${WN}u;
  let units = info[2] / 8u;
#for i in 0..TM
#for j in 0..TN
  var c${i}_${j}: coop_mat16x16<f32, C>;
#end
#end
#for i in 0..LOADS_X
  let px${i} = (tid + ${i * THREADS}u) / ${KU}u;
  let kx${i} = (tid + ${i * THREADS}u) % ${KU}u;
  let rx${i} = min(m0 + px${i}, info[0] - 1u);
  let tx${i} = px${i} * ${LD}u + kx${i};
#if PRE
  var x${i} = fetch_x(rx${i}, 0u, kx${i}, units);
#end
#end
#for i in 0..LOADS_W
  let pw${i} = (tid + ${i * THREADS}u) / ${KU}u;
  let kw${i} = (tid + ${i * THREADS}u) % ${KU}u;
  let rw${i} = min(n0 + pw${i}, info[1] - 1u);
  let tw${i} = pw${i} * ${LD}u + kw${i};
#if PRE
  var w${i} = fetch_w(rw${i}, kw${i}, units);
#end
#end
#if DOUBLE
#for i in 0..LOADS_X
  tile_x[tx${i}] = x${i};
#end
#for i in 0..LOADS_W
  tile_w[tw${i}] = w${i};
#end
  workgroupBarrier();
#end
  let steps = (units + ${KU - 1}u) / ${KU}u;
  for (var step = 0u; step < steps; step++) {
#if DOUBLE
    let now_x = wm * ${LD}u + step % 2u * ${BM * LD}u;
    let now_w = wn * ${LD}u + step % 2u * ${BN * LD}u;
#else
    let now_x = wm * ${LD}u;
    let now_w = wn * ${LD}u;
#if PRE
#for i in 0..LOADS_X
    tile_x[tx${i}] = x${i};
#end
#for i in 0..LOADS_W
    tile_w[tw${i}] = w${i};
#end
#else
#for i in 0..LOADS_X
    let x${i} = fetch_x(rx${i}, step * ${KU}u, kx${i}, units);
#end
#for i in 0..LOADS_W
    let w${i} = fetch_w(rw${i}, step * ${KU}u + kw${i}, units);
#end
#for i in 0..LOADS_X
    tile_x[tx${i}] = x${i};
#end
#for i in 0..LOADS_W
    tile_w[tw${i}] = w${i};
#end
#end
    workgroupBarrier();
#end
#if PRE
    if (step + 1u < steps) {
      let next = (step + 1u) * ${KU}u;
#for i in 0..LOADS_X
      x${i} = fetch_x(rx${i}, next, kx${i}, units);
#end
#for i in 0..LOADS_W
      w${i} = fetch_w(rw${i}, next + kw${i}, units);
#end
    }
#end
#for k in 0..BK / 16
#for i in 0..TM
    let a${k}_${i} = coopLoadT<coop_mat16x16<f16, A>>(&tile_x[now_x + ${i * 16 * LD + k * 2}u].a, ${LD * 2}u);
#end
#for j in 0..TN
    let b${k}_${j} = coopLoad<coop_mat16x16<f16, B>>(&tile_w[now_w + ${j * 16 * LD + k * 2}u].a, ${LD * 2}u);
#for i in 0..TM
    c${i}_${j} = coopMultiplyAdd(a${k}_${i}, b${k}_${j}, c${i}_${j});
#end
#end
#end
#if DOUBLE
    if (step + 1u < steps) {
      let to_x = (step + 1u) % 2u * ${BM * LD}u;
      let to_w = (step + 1u) % 2u * ${BN * LD}u;
#for i in 0..LOADS_X
      tile_x[to_x + tx${i}] = x${i};
#end
#for i in 0..LOADS_W
      tile_w[to_w + tw${i}] = w${i};
#end
    }
#end
    workgroupBarrier();
  }
  let mine = warp * ${16 * LDC}u;
  let place = mine + lane / 2u * ${LDC}u + lane % 2u * 2u;
#for i in 0..TM
  let row${i} = m0 + wm + ${i * 16}u + lane / 2u;
#for j in 0..TN
  coopStoreT(c${i}_${j}, &sums[mine], ${LDC}u);
  subgroupBarrier();
  {
    let column = n0 + wn + ${j * 16}u + lane % 2u * 8u;
    if (row${i} < info[0] && column < info[1]) {
      finish(sums[place], row${i}, column / 4u);
      finish(sums[place + 1u], row${i}, column / 4u + 1u);
    }
  }
  subgroupBarrier();
#end
#end
}

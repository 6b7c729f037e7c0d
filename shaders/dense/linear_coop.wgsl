// y = epilogue(x·Wᵀ + b) on matrix units: x [M, K] f16, W [N, K] (f16, i8 or i4 with scales), y [M, N] f16, f32 accumulation.
// K and N are multiples of 8. Subgroups of 32.
//
// A workgroup makes a BM×BN tile, a subgroup WM×32 of it in 16×16 fragments. The next K tile is fetched into registers while
// the matrix units work on this one. An accumulator leaves its registers only as f32 through workgroup memory, 16×16 at a
// time, and the epilogue is applied there.
//
// TILE 128 or 64, its edge; W weight storage; EPI and GATHER as in linear_epilogue; TAIL 1: K, or CIN of a convolution, is no
// multiple of BK, so that a tile ends outside, or holds parts of several taps and every load finds its own.
#import workgroup
#let BM = TILE
#let BN = TILE
#let BK = 64
#let WM = TILE / 2
#let WN = 32
#let ACROSS = BN / WN
#let WARPS = BM / WM * ACROSS
#let THREADS = WARPS * 32
// Rows of a tile are padded by 8 elements against bank conflicts. Strides count vec4s.
#let LD = BK / 4 + 2
#let K4 = BK / 4
#let LOADS_X = BM * K4 / THREADS
#let LOADS_W = BN * K4 / THREADS
#let TM = WM / 16
#let TN = WN / 16

@group(0) @binding(0) var<storage, read_write> x: array<vec4<f16>>;
#if W == "f16"
@group(0) @binding(1) var<storage, read_write> w: array<vec4<f16>>;
#let NEXT = 2
#else
@group(0) @binding(1) var<storage, read_write> w: array<u32>;
@group(0) @binding(2) var<storage, read_write> scales: array<u32>;
#let NEXT = 3
#end
#let ELEMENT = "vec4<f16>"
#let E = 4
#import linear_epilogue

var<workgroup> tile_x: array<vec4<f16>, ${BM * LD}>;
var<workgroup> tile_w: array<vec4<f16>, ${BN * LD}>;
var<workgroup> sums: array<vec4<f32>, ${WARPS * 80}>;

#if W != "f16"
#import packed_weights
#end
// Four weights, `column` counted in fours.
fn fetch_w(row: u32, column: u32, columns: u32) -> vec4<f16> {
#if W == "f16"
  return w[row * columns + column];
#else
  return vec4<f16>(unpacked(row, column, columns));
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
  let columns = info[2] / 4u;
#if GATHER != "no"
  let width = info[6] / 4u;
#end
#for i in 0..TM
#for j in 0..TN
  var c${i}_${j}: coop_mat16x16<f32, C>;
#end
#end
#for i in 0..LOADS_X
  let px${i} = (tid + ${i * THREADS}u) / ${K4}u;
  let kx${i} = (tid + ${i * THREADS}u) % ${K4}u;
  let rx${i} = min(m0 + px${i}, info[0] - 1u);
#if GATHER != "no" && TAIL
  let tap${i} = kx${i} / width;
  let from${i} = neighbour(tap${i}, rx${i});
  var x${i} = select(vec4<f16>(), x[u32(max(from${i}, 0)) * width + kx${i} - tap${i} * width], from${i} >= 0);
#elif GATHER != "no"
  let from${i} = neighbour(0u, rx${i});
  var x${i} = select(vec4<f16>(), x[u32(max(from${i}, 0)) * width + kx${i}], from${i} >= 0);
#elif TAIL
  var x${i} = select(vec4<f16>(), x[rx${i} * columns + min(kx${i}, columns - 1u)], kx${i} < columns);
#else
  var x${i} = x[rx${i} * columns + kx${i}];
#end
#end
#for i in 0..LOADS_W
  let pw${i} = (tid + ${i * THREADS}u) / ${K4}u;
  let kw${i} = (tid + ${i * THREADS}u) % ${K4}u;
  let rw${i} = min(n0 + pw${i}, info[1] - 1u);
#if TAIL
  var w${i} = select(vec4<f16>(), fetch_w(rw${i}, min(kw${i}, columns - 1u), columns), kw${i} < columns);
#else
  var w${i} = fetch_w(rw${i}, kw${i}, columns);
#end
#end
  let steps = (columns + ${K4 - 1}u) / ${K4}u;
  for (var step = 0u; step < steps; step++) {
#for i in 0..LOADS_X
    tile_x[px${i} * ${LD}u + kx${i}] = x${i};
#end
#for i in 0..LOADS_W
    tile_w[pw${i} * ${LD}u + kw${i}] = w${i};
#end
    workgroupBarrier();
    if (step + 1u < steps) {
      let next = (step + 1u) * ${K4}u;
#if GATHER != "no" && !TAIL
      let tap = next / width;
      let inner = next - tap * width;
#end
#for i in 0..LOADS_X
#if GATHER != "no" && TAIL
      let at${i} = next + kx${i};
      let last${i} = at${i} / width;
      let next${i} = neighbour(min(last${i}, 26u), rx${i});
      let inside${i} = next${i} >= 0 && at${i} < columns;
      x${i} = select(vec4<f16>(), x[u32(max(next${i}, 0)) * width + at${i} - last${i} * width], inside${i});
#elif GATHER != "no"
      let next${i} = neighbour(tap, rx${i});
      x${i} = select(vec4<f16>(), x[u32(max(next${i}, 0)) * width + inner + kx${i}], next${i} >= 0);
#elif TAIL
      x${i} = select(vec4<f16>(), x[rx${i} * columns + min(next + kx${i}, columns - 1u)], next + kx${i} < columns);
#else
      x${i} = x[rx${i} * columns + next + kx${i}];
#end
#end
#for i in 0..LOADS_W
#if TAIL
      w${i} = select(vec4<f16>(), fetch_w(rw${i}, min(next + kw${i}, columns - 1u), columns), next + kw${i} < columns);
#else
      w${i} = fetch_w(rw${i}, next + kw${i}, columns);
#end
#end
    }
#for k in 0..BK / 16
#for i in 0..TM
    let a${k}_${i} = coopLoadT<coop_mat16x16<f16, A>>(&tile_x[(wm + ${i * 16}u) * ${LD}u + ${k * 4}u], ${LD}u);
#end
#for j in 0..TN
    let b${k}_${j} = coopLoad<coop_mat16x16<f16, B>>(&tile_w[(wn + ${j * 16}u) * ${LD}u + ${k * 4}u], ${LD}u);
#for i in 0..TM
    c${i}_${j} = coopMultiplyAdd(a${k}_${i}, b${k}_${j}, c${i}_${j});
#end
#end
#end
    workgroupBarrier();
  }
  let mine = warp * 80u;
  let place = mine + lane / 2u * 5u + lane % 2u * 2u;
#for i in 0..TM
  let row${i} = m0 + wm + ${i * 16}u + lane / 2u;
#end
#for j in 0..TN
  let column${j} = n0 + wn + ${j * 16}u + lane % 2u * 8u;
#end
#if EPI == "heads"
  // Heads have 32 columns or a multiple: a lane adds up its half of a row's squares, then all parts of a head meet.
  var squares = vec4<f32>();
#for i in 0..TM
#for j in 0..TN
  coopStoreT(c${i}_${j}, &sums[mine], 5u);
  subgroupBarrier();
  let v${i}_${j}_0 = biased(sums[place], column${j});
  let v${i}_${j}_1 = biased(sums[place + 1u], column${j} + 4u);
  squares[${i}] += dot(v${i}_${j}_0, v${i}_${j}_0) + dot(v${i}_${j}_1, v${i}_${j}_1);
  subgroupBarrier();
#end
#end
  sums[mine + lane] = squares;
  workgroupBarrier();
  let abreast = info[10] / ${WN}u;
  let first = warp / abreast * abreast * 80u + lane / 2u * 2u;
  squares = vec4<f32>();
  for (var w = 0u; w < abreast; w++) { squares += sums[first + w * 80u] + sums[first + w * 80u + 1u]; }
  let factors = head_factors(squares);
#for i in 0..TM
#for j in 0..TN
  finish(v${i}_${j}_0, factors[${i}], row${i}, column${j});
  finish(v${i}_${j}_1, factors[${i}], row${i}, column${j} + 4u);
#end
#end
#else
#for i in 0..TM
#for j in 0..TN
  coopStoreT(c${i}_${j}, &sums[mine], 5u);
  subgroupBarrier();
  if (row${i} < info[0] && column${j} < info[1]) {
    finish(sums[place], row${i}, column${j});
    finish(sums[place + 1u], row${i}, column${j} + 4u);
  }
  subgroupBarrier();
#end
#end
#end
}

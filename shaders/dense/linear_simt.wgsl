// y = epilogue(x·Wᵀ + b) without matrix units: x [M, K], W [N, K], y [M, N], f32 accumulation.
//
// A workgroup makes a BM×BN tile, an invocation 4·R × 4·R elements of it. Tiles of x and W lie in workgroup memory as f32,
// K-major, so that the inner loop reads vec4s along M and N; the next tiles are fetched into registers meanwhile.
//
// T element type; W weight storage (f16 beside T = f32 is unpacked from words and needs no feature; i8, i4 carry scales);
// VEC 4: K and N are multiples of 4, 1: any; TILE 128 or 32; TAIL 1: K (in convolutions CIN) may be no multiple of 16; LONG 1:
// sums are so long that adding up product by product would cost f32 its last digits; EPI and GATHER as in linear_epilogue.
#import workgroup
// Vec4s of rows and of columns that an invocation makes, and invocations along both.
#let R = select(TILE == 32, 1, 2)
#let TX = TILE / 4 / R
#let UNROLL = select(TAIL, 4, 16)
#let THREADS = TX * TX
#let BM = TILE
#let BK = 16
// Sums are added up in chunks of this many steps, and the chunks then: the error grows with the root of a chunk's length. Small
// tiles have the registers for it, large ones lose speed.
#let CHUNK = 64
#let CHUNKED = T == "f32" && (TILE == 32 || LONG)
#let LD = BM / 4
// 4×4 blocks that one tile of x (or W) is fetched in, and how many of both an invocation fetches.
#let BLOCKS = (BM / 4) * (BK / 4)
#let SLOTS = ceil_div(2 * BLOCKS, THREADS)
#let E = select(VEC == 4, 4, 1)
#let ELEMENT = select(VEC == 4, select(T == "f16", "vec4<f16>", "vec4<f32>"), T)
// What an invocation keeps of the next tiles: as it was loaded where it can, for a conversion would wait for the load.
#let RAW = select(VEC == 4 && W == T, ELEMENT, "vec4<f32>")

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
#import linear_epilogue
#if W == "i8" || W == "i4"
#import packed_weights
#end

// Neighbouring invocations fetch neighbouring fours of a line of x (or W) and store them as columns. Rows of four K are swizzled
// by XOR, so that these stores meet different banks.
var<workgroup> tile_x: array<vec4<f32>, ${BK * LD}>;
var<workgroup> tile_w: array<vec4<f32>, ${BK * LD}>;

// Four elements of row `row` of x from column `k` on, zeros past the end.
fn fetch_x(row: u32, k: u32) -> ${RAW} {
  let columns = info[2];
#if GATHER != "no" && VEC == 4
  let width = info[6];
#if TAIL
  let at = min(k, columns - 4u);
#else
  let at = k;
#end
  let picked = neighbour(at / width, row);
  let value = ${RAW}(x[(u32(max(picked, 0)) * width + at % width) / 4u]);
  return select(${RAW}(), value, ${select(TAIL, "k < columns && ", "")}picked >= 0);
#elif GATHER != "no"
  let width = info[6];
  var out = vec4<f32>();
  for (var e = 0u; e < 4u; e++) {
    let c = min(k + e, columns - 1u);
    let picked = neighbour(c / width, row);
    let value = f32(x[u32(max(picked, 0)) * width + c % width]);
    if (k + e < columns && picked >= 0) { out[e] = value; }
  }
  return out;
#elif !TAIL
  return ${RAW}(x[(row * columns + k) / 4u]);
#elif VEC == 4
  return select(${RAW}(), ${RAW}(x[(row * columns + min(k, columns - 4u)) / 4u]), k < columns);
#else
  let start = row * columns;
  let last = columns - 1u;
  let out = vec4<f32>(f32(x[start + min(k, last)]), f32(x[start + min(k + 1u, last)]), f32(x[start + min(k + 2u, last)]), f32(x[start + min(k + 3u, last)]));
  return select(vec4<f32>(), out, vec4<u32>(k, k + 1u, k + 2u, k + 3u) < vec4<u32>(columns));
#end
}

#if VEC == 4
// Four weights, `at` counts fours of row `row`.
fn four(row: u32, at: u32) -> ${RAW} {
  let fours = info[2] / 4u;
#if W == "i8" || W == "i4"
  return unpacked(row, at, fours);
#elif W == T
  return ${RAW}(w[row * fours + at]);
#else
  let packed = w[row * fours + at];
  return vec4<f32>(unpack2x16float(packed.x), unpack2x16float(packed.y));
#end
}
#else
fn one(at: u32) -> f32 {
#if W == T
  return f32(w[at]);
#else
  return unpack2x16float(w[at / 2u])[at % 2u];
#end
}
#end

// Four elements of row `row` of W from column `k` on, zeros past the end.
fn fetch_w(row: u32, k: u32) -> ${RAW} {
#if !TAIL
  return four(row, k / 4u);
#elif VEC == 4
  return select(${RAW}(), four(row, min(k, info[2] - 4u) / 4u), k < info[2]);
#else
  let columns = info[2];
  let start = row * columns;
  let last = columns - 1u;
  let out = vec4<f32>(one(start + min(k, last)), one(start + min(k + 1u, last)), one(start + min(k + 2u, last)), one(start + min(k + 3u, last)));
  return select(vec4<f32>(), out, vec4<u32>(k, k + 1u, k + 2u, k + 3u) < vec4<u32>(columns));
#end
}

#if EPI != "heads"
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
#end

@compute @workgroup_size(${THREADS})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) tid: u32) {
  let tile = linear_workgroup(group, groups);
  if (tile >= info[5]) { return; }
  let m0 = tile / info[4] * ${BM}u;
  let n0 = tile % info[4] * ${BM}u;
  // 32 neighbouring invocations stand 8×4, so that what they read at a time of a tile of W is 128 bytes, and 64 of x.
  let tx = tid / 32u % ${TX / 8}u * 8u + tid % 8u;
  let ty = tid / ${4 * TX}u * 4u + tid % 32u / 8u;
#for i in 0..4 * R
#for j in 0..R
  var c${i}_${j} = vec4<f32>();
#if CHUNKED
  var total${i}_${j} = vec4<f32>();
#end
#end
#end
#for s in 0..SLOTS
  let b${s} = tid + ${s * THREADS}u;
  let is_x${s} = b${s} < ${BLOCKS}u;
  let at${s} = select(b${s} - ${BLOCKS}u, b${s}, is_x${s});
  let k${s} = at${s} % ${BK / 4}u * 4u;
  let line${s} = at${s} / ${BK / 4}u;
  // Where column k of the block lies in row k of the tile; see the tiles.
  let to${s} = k${s} * ${LD}u + (line${s} ^ (k${s} / 2u));
#for e in 0..4
  let row${s}_${e} = select(min(n0 + line${s} * 4u + ${e}u, info[1] - 1u), min(m0 + line${s} * 4u + ${e}u, info[0] - 1u), is_x${s});
  var v${s}_${e}: ${RAW};
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
      tile_x[to${s} + ${e * LD}u] = vec4<f32>(${RAW}(v${s}_0[${e}], v${s}_1[${e}], v${s}_2[${e}], v${s}_3[${e}]));
#end
    } else {
#for e in 0..4
      tile_w[to${s} + ${e * LD}u] = vec4<f32>(${RAW}(v${s}_0[${e}], v${s}_1[${e}], v${s}_2[${e}], v${s}_3[${e}]));
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
#for r in 0..R
      let a${u}_${r} = tile_x[k + (ty ^ ((k / ${4 * LD}u + ${u / 4}u) * 2u)) + ${u * LD + r * TX}u];
#end
#for r in 0..R
      let w${u}_${r} = tile_w[k + (tx ^ ((k / ${4 * LD}u + ${u / 4}u) * 2u)) + ${u * LD + r * TX}u];
#end
#for i in 0..4 * R
#for j in 0..R
      c${i}_${j} = fma(vec4<f32>(a${u}_${i / 4}[${i % 4}]), w${u}_${j}, c${i}_${j});
#end
#end
#end
    }
#if CHUNKED
    if (step % ${CHUNK}u == ${CHUNK - 1}u) {
#for i in 0..4 * R
#for j in 0..R
      total${i}_${j} += c${i}_${j};
      c${i}_${j} = vec4<f32>();
#end
#end
    }
#end
    workgroupBarrier();
  }
#if CHUNKED
#for i in 0..4 * R
#for j in 0..R
  c${i}_${j} += total${i}_${j};
#end
#end
#end
#if EPI == "heads"
  // Squares of four rows by four columns, in the tiles' memory, where all parts of a head meet.
#for j in 0..R
#for i in 0..4 * R
  c${i}_${j} = biased(c${i}_${j}, n0 + tx * 4u + ${j * TX * 4}u);
  let square${i}_${j} = dot(c${i}_${j}, c${i}_${j});
#end
#for r in 0..R
  ${select(r == 0, "tile_x", "tile_w")}[(tx + ${j * TX}u) * ${TX}u + ty] = vec4<f32>(square${r * 4}_${j}, square${r * 4 + 1}_${j}, square${r * 4 + 2}_${j}, square${r * 4 + 3}_${j});
#end
#end
  workgroupBarrier();
  let fours = info[10] / 4u;
#for j in 0..R
  let first${j} = (tx + ${j * TX}u) / fours * fours;
#for r in 0..R
  var squares${r}_${j} = vec4<f32>();
#end
  for (var unit = first${j}; unit < first${j} + fours; unit++) {
#for r in 0..R
    squares${r}_${j} += ${select(r == 0, "tile_x", "tile_w")}[unit * ${TX}u + ty];
#end
  }
#for r in 0..R
  let factors${r}_${j} = head_factors(squares${r}_${j});
#end
#for i in 0..4 * R
  finish(c${i}_${j}, factors${i / 4}_${j}[${i % 4}], m0 + ty * 4u + ${i / 4 * TX * 4 + i % 4}u, n0 + tx * 4u + ${j * TX * 4}u);
#end
#end
#else
#for i in 0..4 * R
#for j in 0..R
  store(c${i}_${j}, m0 + ty * 4u + ${i / 4 * TX * 4 + i % 4}u, n0 + tx * 4u + ${j * TX * 4}u);
#end
#end
#end
}

// What the bodies of linear layers have in common: the tensors that follow the weights, and what becomes of a finished sum.
//
// NEXT the first free binding; ELEMENT a unit of x, bias and y, E its elements (4 or 1); EPI plain, bias, residual (bias and
// residual), gate (bias, residual and gate by group), split (bias, N in up to three equal parts, stored one after the other) or
// heads (split, and the head vectors of the first columns are RMS-normalised); GATHER table or grid: a 3×3×3 convolution,
// K = 27·CIN, rows of x are picked by a neighbour table [27, M] (−1: zeros) or by the dimensions of a dense volume.
#import activation
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
#if EPI == "heads"
@group(0) @binding(${NEXT}) var<storage, read_write> gammas: array<vec4<f32>>;
#let NEXT = NEXT + 1
#end
#if GATHER == "table"
@group(0) @binding(${NEXT}) var<storage, read_write> rows: array<i32>;
#let NEXT = NEXT + 1
#end
@group(0) @binding(${NEXT}) var<storage, read_write> y: array<${ELEMENT}>;
#let NEXT = NEXT + 1
// M, N, K, activation, tiles along N, tiles, CIN (or K), columns that share a scale (or 0), then groups of rows, a volume, or
// of EPI split and heads: columns of a part, elements from one part to the next, columns of a head, columns with a norm.
@group(0) @binding(${NEXT}) var<storage, read> info: array<u32>;
#let GROUPS = 8
#if EPI == "gate"
#import groups
#end
#if GATHER != "no"
#import neighbours
#end

#if EPI == "split" || EPI == "heads"
// Stores four elements from `column` of row `row` on. There are three parts at most; a division here costs 4 % of the layer.
fn store_part(v: vec4<f32>, row: u32, column: u32) {
  let part = u32(column >= info[8]) + u32(column >= 2u * info[8]);
  y[(part * info[9] + row * info[8] + column - part * info[8]) / 4u] = ${ELEMENT}(v);
}
#end

#if EPI == "heads"
#import head_factor
// A sum with its bias; columns past the end are never stored.
fn biased(sum: vec4<f32>, column: u32) -> vec4<f32> {
  return sum + vec4<f32>(bias[min(column, info[1] - 4u) / 4u]);
}

// The factors of the heads of four rows.
fn head_factors(squares: vec4<f32>) -> vec4<f32> {
  let dim = info[10];
  return vec4<f32>(head_factor(squares.x, dim), head_factor(squares.y, dim), head_factor(squares.z, dim), head_factor(squares.w, dim));
}

// Stores four biased sums from `column` of row `row` on; `factor` is that of their head.
fn finish(v: vec4<f32>, factor: f32, row: u32, column: u32) {
  if (row >= info[0] || column >= info[1]) { return; }
  if (column < info[11]) {
    store_part(v * factor * gammas[column / 4u], row, column);
  } else {
    store_part(v, row, column);
  }
}
#else
// Element (or four) `column` of row `row` of the result, from its sum.
#let SUM = select(E == 4, "vec4<f32>", "f32")
#let PART = select(E == 4, "", ".x")
fn finish(sum: vec4<f32>, row: u32, column: u32) {
  let columns = info[1];
  let at = (row * columns + column) / ${E}u;
  var v = sum${PART};
#if EPI != "plain"
  v += ${SUM}(bias[column / ${E}u]);
#end
  v = activate(vec4<f32>(v), info[3])${PART};
#if EPI == "gate"
  v *= ${SUM}(gate[(group_of(row) * columns + column) / ${E}u]);
#end
#if EPI == "residual" || EPI == "gate"
  v += ${SUM}(residual[at]);
#end
#if EPI == "split"
  store_part(v, row, column);
#else
  y[at] = ${ELEMENT}(v);
#end
}
#end

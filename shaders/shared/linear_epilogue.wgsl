// What the bodies of linear layers have in common: the tensors that follow the weights, and what becomes of a finished sum.
//
// NEXT the first free binding; ELEMENT a unit of x, bias and y, E its elements (4 or 1); EPI plain, bias, residual (bias and
// residual), gate (bias, residual and gate by group) or split (bias, N in three equal parts stored apart); GATHER table or
// grid: a 3×3×3 convolution, K = 27·CIN, rows of x are picked by a neighbour table [27, M] (−1: zeros) or by the dimensions of
// a dense volume.
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
// M, N, K, activation, tiles along N, tiles, CIN (or K), columns that share a scale (or 0), groups of rows or volume …
@group(0) @binding(${NEXT}) var<storage, read> info: array<u32>;
#let GROUPS = 8
#if EPI == "gate"
#import groups
#end
#if GATHER != "no"
#import neighbours
#end

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
  let out = ${ELEMENT}(v);
#if EPI == "split"
  let third = columns / 3u;
  let part = column / third;
  let to = (row * third + column - part * third) / ${E}u;
  if (part == 0u) { y0[to] = out; } else if (part == 1u) { y1[to] = out; } else { y2[to] = out; }
#else
  y[at] = out;
#end
}

// y = relu?(conv(x, w) + b) of planes: x [N, CIN, H, W], y [N, COUT, H, W], stride 1, zeros around, f32 accumulation.
//
// An invocation makes OUTS channels of ROWS pixels of a column. They lie a dilation apart, so that the rows of its taps are
// ROWS + K - 1 whatever the dilation is; its neighbours make the next columns. Nothing lies in workgroup memory: what a software
// adapter pays for is every load, of either kind, and on a card all of a workgroup read the same weights.
//
// The taps of a channel are added up by themselves first: sums of thousands of products, one by one, would lose last digits.
//
// w [ceil(COUT / OUTS), CIN, kx, ky, OUTS], filled up with zeros. T element type; K 3 or 1; OUTS 8 or, for few channels, 4;
// ROWS 4, or 8 where invocations are plenty.
#import workgroup
#let HALF = K / 2
#let READ = ROWS + K - 1
#let FOURS = OUTS / 4
@group(0) @binding(0) var<storage, read_write> x: array<${T}>;
@group(0) @binding(1) var<storage, read_write> w: array<vec4<${T}>>;
@group(0) @binding(2) var<storage, read_write> bias: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<${T}>;
// CIN, COUT, H, W, dilation, first rows (as many as the dilation, and as there are), bands of rows, workgroups a block of
// channels, blocks of channels, blocks of channels of all items, ReLU.
@group(0) @binding(4) var<storage, read> info: array<u32>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) tid: u32) {
  let at = linear_workgroup(group, groups);
  let inputs = info[0];
  let height = i32(info[2]);
  let width = info[3];
  let dilation = i32(info[4]);
  let place = at % info[7] * 64u + tid;
  let band = place / width;
  let of_all = at / info[7];
  if (band >= info[6] || of_all >= info[9]) { return; }
  let item = of_all / info[8];
  let block = of_all % info[8];
  let area = info[2] * width;
  let column = i32(place % width);
  let first = i32(band % info[5]) + i32(band / info[5]) * dilation * ${ROWS};
#for i in 0..K
  let column${i} = column + (${i} - ${HALF}) * dilation;
  let across${i} = u32(clamp(column${i}, 0, i32(width) - 1));
  let beside${i} = column${i} >= 0 && column${i} < i32(width);
#end
#for j in 0..READ
  let row${j} = first + (${j} - ${HALF}) * dilation;
  let down${j} = u32(clamp(row${j}, 0, height - 1)) * width;
  let inside${j} = row${j} >= 0 && row${j} < height;
#end
#for f in 0..FOURS
#for p in 0..ROWS
  var sum${f}_${p} = vec4<f32>();
#end
#end
  for (var c = 0u; c < inputs; c++) {
    let plane = (item * inputs + c) * area;
    let taps = (block * inputs + c) * ${K * K * FOURS}u;
#for i in 0..K
#for j in 0..READ
    let v${i}_${j} = select(0.0, f32(x[plane + down${j} + across${i}]), beside${i} && inside${j});
#end
#end
#for f in 0..FOURS
#for i in 0..K
#for j in 0..K
    let w${f}_${i}_${j} = vec4<f32>(w[taps + ${(i * K + j) * FOURS + f}u]);
#end
#end
#for p in 0..ROWS
    var part${f}_${p} = w${f}_0_0 * v0_${p};
#for t in 1..K * K
    part${f}_${p} += w${f}_${t / K}_${t % K} * v${t / K}_${p + t % K};
#end
    sum${f}_${p} += part${f}_${p};
#end
#end
  }
#for f in 0..FOURS
#for e in 0..4
  let channel${f}_${e} = block * ${OUTS}u + ${4 * f + e}u;
  if (channel${f}_${e} < info[1]) {
    let start = (item * info[1] + channel${f}_${e}) * area + u32(column);
    let b = bias[channel${f}_${e}];
#for p in 0..ROWS
    // Rows above the picture are no pixel's: a first row lies in it.
    if (inside${p + HALF}) {
      let value = sum${f}_${p}[${e}] + b;
      // A comparison, since NaN has to stay.
      y[start + down${p + HALF}] = ${T}(select(value, 0.0, info[10] != 0u && value < 0.0));
    }
#end
  }
#end
#end
}

// One channel of one view: the residuals of its samples, and what they ask of the texels.
//
// MODE "start": every sample pulls with weight 1 (the gradient of the squared residuals from a black texture). MODE "step":
// iteratively re-weighted, weight 1 / max(|r|, ε). MODE "loss": only the sum of |r|. Sums go to whole numbers, because
// WGSL has no atomic floats; that also makes them independent of the order of work.
#import workgroup
#import sum256
#import mip_chain
@group(0) @binding(0) var<storage, read_write> samples: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read_write> chain: array<f32>;
// One word a workgroup: its sum of weighted |r|.
@group(0) @binding(2) var<storage, read_write> losses: array<f32>;
#if MODE != "loss"
@group(0) @binding(3) var<storage, read_write> pulls: array<atomic<i32>>;
@group(0) @binding(4) var<storage, read_write> weights: array<atomic<u32>>;
#end
// First sample, samples, side of the texture, channel, weight of the view, ε, units of `pulls`, units of `weights`, first word
// of `losses`.
@group(0) @binding(${select(MODE == "loss", 3, 5)}) var<storage, read> info: array<u32>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) tid: u32) {
  let block = linear_workgroup(group, groups);
  if (block * 256u >= info[1]) { return; }
  let i = block * 256u + tid;
  var loss = 0.0;
  if (i < info[1]) {
    let one = samples[info[0] + i];
    let taps = sample_taps(bitcast<vec2<f32>>(one.xy), bitcast<f32>(one.z), info[2]);
    var value = 0.0;
    for (var k = 0u; k < 8u; k++) {
      if (taps.weight[k] > 0.0) { value += taps.weight[k] * chain[taps.at[k]]; }
    }
    let observed = f32((one.w >> (info[3] * 8u)) & 255u) / 255.0;
    let r = value - observed;
    let share = bitcast<f32>(info[4]);
    loss = share * abs(r);
#if MODE != "loss"
#if MODE == "start"
    let weight = share;
#else
    let weight = share / max(abs(r), bitcast<f32>(info[5]));
#end
    let pull = weight * r * bitcast<f32>(info[6]);
    let units = weight * bitcast<f32>(info[7]);
    for (var k = 0u; k < 8u; k++) {
      if (taps.weight[k] > 0.0) {
        atomicAdd(&pulls[taps.at[k]], i32(round(taps.weight[k] * pull)));
        atomicAdd(&weights[taps.at[k]], u32(round(taps.weight[k] * units)));
      }
    }
#end
  }
  let all = sum256(loss, tid);
  if (tid == 0u) { losses[info[8] + block] = all; }
}

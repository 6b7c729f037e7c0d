// How many samples touch each texel of the chain, and the largest such number: what the fixed-point sums must hold.
#import workgroup
#import mip_chain
@group(0) @binding(0) var<storage, read_write> samples: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read_write> hits: array<atomic<u32>>;
@group(0) @binding(2) var<storage, read_write> most: array<atomic<u32>>;
// Samples, side of the texture.
@group(0) @binding(3) var<storage, read> info: array<u32>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) tid: u32) {
  let i = linear_workgroup(group, groups) * 256u + tid;
  if (i >= info[0]) { return; }
  let sample_at = samples[i];
  let taps = sample_taps(bitcast<vec2<f32>>(sample_at.xy), bitcast<f32>(sample_at.z), info[1]);
  for (var k = 0u; k < 8u; k++) {
    if (taps.weight[k] > 0.0) {
      let now = atomicAdd(&hits[taps.at[k]], 1u) + 1u;
      // Looking first keeps nearly all of them away from the one word.
      if (now > atomicLoad(&most[0])) { atomicMax(&most[0], now); }
    }
  }
}

// Fused multiply-adds in registers and nothing else: the arithmetic rate that kernels without matrix units are measured
// against. 64 chains of vec4s hide the latency.
#let CHAINS = 16
@group(0) @binding(0) var<storage, read_write> y: array<vec4<f32>>;
// Rounds.
@group(0) @binding(1) var<storage, read> info: array<u32>;

@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(local_invocation_index) tid: u32) {
  let a = vec4<f32>(0.999 - f32(tid) * 1e-6);
#for i in 0..CHAINS
  var c${i} = vec4<f32>(${i}.0);
#end
  for (var round = 0u; round < info[0]; round++) {
#for i in 0..CHAINS
    c${i} = fma(c${i}, a, a);
#end
  }
  var sum = vec4<f32>();
#for i in 0..CHAINS
  sum += c${i};
#end
  y[id.x] = sum;
}

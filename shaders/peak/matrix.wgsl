// Matrix multiply-adds on fragments that stay in registers: the rate that kernels on matrix units are measured against.
@group(0) @binding(0) var<storage, read_write> x: array<vec4<f16>>;
@group(0) @binding(1) var<storage, read_write> y: array<vec4<f32>>;
// Rounds.
@group(0) @binding(2) var<storage, read> info: array<u32>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) tid: u32) {
#for i in 0..4
  let a${i} = coopLoadT<coop_mat16x16<f16, A>>(&x[${i * 64}u], 4u);
#end
#for j in 0..2
  let b${j} = coopLoad<coop_mat16x16<f16, B>>(&x[${j * 64 + 256}u], 4u);
#end
#for i in 0..4
#for j in 0..2
  var c${i}_${j}: coop_mat16x16<f32, C>;
#end
#end
  for (var round = 0u; round < info[0]; round++) {
#for i in 0..4
#for j in 0..2
    c${i}_${j} = coopMultiplyAdd(a${i}, b${j}, c${i}_${j});
#end
#end
  }
  let out = (group.x * 8u + tid / 32u) * 512u;
#for i in 0..4
#for j in 0..2
  coopStoreT(c${i}_${j}, &y[out + ${(i * 2 + j) * 64}u], 4u);
#end
#end
}
